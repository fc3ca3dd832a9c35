// A verify that has read every copy proves that what was put back before it is right: whatever the clock is set to meanwhile.
import { expect, setSystemTime, test } from "bun:test";
import { join } from "node:path";
import { Cursor } from "../../src/jobs/cursor";
import { type JobTarget } from "../../src/jobs/target";
import { openMemory } from "../../src/ledger/level/memory";
import { type Memory } from "../../src/ledger/ledger";
import { recallJob, rememberJob } from "../../src/store/job-memory";
import { notedIn, putBackPlaces, rememberPutBack } from "../../src/store/places/put-back";
import { temporaryFolder } from "../support/folder";

const HOUR = 3_600_000;
const topology = { volumes: ["a:1"], replicas: 1, subvolumes: 1 };
const task = { job: "verify", topology, flags: [], fromStart: false, dryRun: false } as const;
const progress = { at: () => {}, note: () => {} };

/** A master that is asked over HTTP, with this memory. */
const targetOf = (memory: Memory) =>
  ({
    recall: async (job) => JSON.parse(JSON.stringify(await recallJob({ memory, age: "current" }, job))),
    remember: (job, told) => rememberJob(memory, job, JSON.parse(JSON.stringify(told))),
  }) as JobTarget;

test.each([
  ["before it begins", -HOUR, 0],
  ["while it runs", 0, -HOUR],
])("a clock that is set back %s makes it prove neither more nor less", async (_, beforeMs, meanwhileMs) => {
  await using at = temporaryFolder();
  await using memory = await openMemory(join(at.path, "index"));
  const realMs = Date.now();
  try {
    await rememberPutBack(memory, "before:1", { isEarlier: true });
    setSystemTime(realMs + beforeMs);
    const cursor = await Cursor.open(targetOf(memory), { task, progress, counts: { keys: 1 } });
    setSystemTime(realMs + beforeMs + meanwhileMs + 1000);
    await rememberPutBack(memory, "meanwhile:1", { isEarlier: true });
    setSystemTime(realMs + beforeMs + meanwhileMs + 2000);
    await cursor.end({ isWhole: true, isProof: true });
  } finally {
    setSystemTime();
  }
  expect([...(await putBackPlaces(memory, "all"))]).toEqual(["meanwhile:1"]);
});

test("what earlier versions remembered of places still counts: by one count each, and by times", async () => {
  await using at = temporaryFolder();
  await using memory = await openMemory(join(at.path, "index"));
  await memory.put("noted", { store: "this", counts: { "a:1": 5 } });
  expect([...(await notedIn(memory).counts("this"))]).toEqual([["a:1", { last: 5, before: 5 }]]);
  await memory.put("put-back before:1", { atMs: 1_790_000_000_000, isEarlier: true });
  const cursor = await Cursor.open(targetOf(memory), { task, progress, counts: { keys: 1 } });
  await cursor.end({ isWhole: true, isProof: true });
  expect(await putBackPlaces(memory, "all")).toBeEmpty();
});
