// A verify that has read every copy proves that what was put back before it is right: whatever the clock is set to meanwhile.
import { expect, setSystemTime, test } from "bun:test";
import { join } from "node:path";
import { Cursor } from "../../src/jobs/cursor";
import { type JobTarget } from "../../src/jobs/target";
import { openMemory } from "../../src/ledger/level/memory";
import { type Ledger, type Memory } from "../../src/ledger/ledger";
import { recallJob, rememberJob } from "../../src/store/job-memory";
import { notedIn, putBackPlaces, rememberPutBack } from "../../src/store/places/put-back";
import { startCluster } from "../support/cluster";
import { homeOf, keyFirstOn } from "../support/copies";
import { temporaryFolder } from "../support/folder";
import { plantOn } from "./damage";
import { runJob } from "./job";
import { countsOf } from "./verified";

const HOUR = 3_600_000;
const topology = { volumes: ["before:1", "meanwhile:1"], replicas: 1, subvolumes: 1 };
const task = { job: "verify", topology, flags: [], fromStart: false, dryRun: false } as const;
const progress = { at: () => {}, note: () => {} };

const storeOf = (memory: Memory) => ({
  topology,
  ledger: { memory, age: "current" } as Ledger,
  currentName: (name: string) => name,
});

/** A master that is asked over HTTP, with this memory. */
const targetOf = (memory: Memory) =>
  ({
    recall: async (job) => JSON.parse(JSON.stringify(await recallJob(storeOf(memory), job))),
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

test("a verify that leaves an orphan proves nothing, though it has brought a key to where it belongs", async () => {
  await using cluster = await startCluster({ volumes: 4 });
  const placed = { flags: ["-md5", "-repair"], volumes: cluster.addresses };
  const [place] = cluster.addresses;
  const key = keyFirstOn(cluster, 3, "misplaced");
  await cluster.startMaster([], cluster.addresses.slice(0, 3));
  await cluster.store(key);
  await cluster.master.stop();
  await using held = new AsyncDisposableStack();
  const remembers = async () => {
    await using memory = await openMemory(cluster.db);
    return [...(await putBackPlaces(memory, "all"))];
  };
  {
    await using memory = await openMemory(cluster.db);
    await rememberPutBack(memory, place!, { isEarlier: true });
  }
  held.use(plantOn(cluster, homeOf(cluster, "/orphan")[0]!, { key: "/orphan" }));
  const left = await runJob(cluster, "verify", placed);
  expect(countsOf(left.last)).toEqual(countsOf({ keys: 1, files: 5, misplaced: 1, orphans: 1, repaired: 1 }));
  expect(await remembers()).toEqual([place!]);
  await held.disposeAsync();
  const proven = await runJob(cluster, "verify", placed);
  expect([proven.exitCode, await remembers()]).toEqual([0, []]);
});
