// Verify reads all data without taking the disks away from those who need them.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { valueOf } from "../support/values";
import { runJob, type JobOutcome } from "./job";
import { countsOf } from "./verified";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const MEGABYTE = 1_000_000;
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster();
  for (let i = 0; i < 5; i++) await cluster.store(`/value-${i}`, valueOf(i, MEGABYTE / 5));
  await cluster.master.stop();
});
afterAll(() => cluster[Symbol.asyncDispose]());

async function timed(flags: string[]): Promise<{ outcome: JobOutcome; ms: number }> {
  const started = performance.now();
  const outcome = await runJob(cluster, "verify", { flags });
  return { outcome, ms: performance.now() - started };
}

test("-rate 1: 3 MB take between one and a half and ten seconds", async () => {
  const { outcome, ms } = await timed(["-md5", "-rate", "1"]);
  expect([outcome.exitCode, countsOf(outcome.last)]).toEqual([0, countsOf({ keys: 5, files: 15 })]);
  expect(ms).toBeGreaterThan(1_500);
  expect(ms).toBeLessThan(10_000);
});

test.each([
  ["without -rate", ["-md5"]],
  ["with a high one", ["-md5", "-rate", "1000"]],
  ["without -md5", ["-rate", "1"]],
])("%s it does not wait", async (_, flags) => {
  const times: number[] = [];
  while (times.length < 5 && !times.some((ms) => ms < 1_500)) {
    // One that waited would never take less, a busy machine may take more.
    const { outcome, ms } = await timed(flags);
    expect(outcome.exitCode).toBe(0);
    times.push(ms);
  }
  expect(Math.min(...times)).toBeLessThan(1_500);
});
