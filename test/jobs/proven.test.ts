// A verify that has read every copy proves that what was put back before it is right: whatever the clock is set to meanwhile.
import { expect, setSystemTime, test } from "bun:test";
import { join } from "node:path";
import { Cursor } from "../../src/jobs/cursor";
import { type JobTarget } from "../../src/jobs/target";
import { openBeside } from "../../src/ledger/level/beside";
import { type Ledger } from "../../src/ledger/ledger";
import { recallJob, rememberJob } from "../../src/store/job-memory";
import { putBackPlaces, rememberPutBack } from "../../src/store/put-back";
import { temporaryFolder } from "../support/folder";

const HOUR = 3_600_000;

test.each([
  ["before it begins", -HOUR, 0],
  ["while it runs", 0, -HOUR],
])("a clock that is set back %s makes it prove neither more nor less", async (_, beforeMs, meanwhileMs) => {
  await using at = temporaryFolder();
  await using memory = await openBeside(join(at.path, "index"));
  const target = {
    recall: (job) => recallJob({ memory, isBehind: false } as unknown as Ledger, job),
    remember: (job, told) => rememberJob(memory, job, JSON.parse(JSON.stringify(told))),
  } as JobTarget;
  const topology = { volumes: ["a:1"], replicas: 1, subvolumes: 1 };
  const task = { job: "verify", topology, flags: [], fromStart: false, dryRun: false } as const;
  const realMs = Date.now();
  try {
    await rememberPutBack(memory, "before:1", { isEarlier: true });
    setSystemTime(realMs + beforeMs);
    const progress = { at: () => {}, note: () => {} };
    const cursor = await Cursor.open(target, { task, progress, counts: { keys: 1 } });
    setSystemTime(realMs + beforeMs + meanwhileMs + 1000);
    await rememberPutBack(memory, "meanwhile:1", { isEarlier: true });
    setSystemTime(realMs + beforeMs + meanwhileMs + 2000);
    await cursor.end({ isWhole: true, isProof: true });
  } finally {
    setSystemTime();
  }
  expect([...(await putBackPlaces(memory, "all"))]).toEqual(["meanwhile:1"]);
});
