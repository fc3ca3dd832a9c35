// Jobs that take long tell how far they are.
import { expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, rmSync } from "node:fs";
import { filesOn } from "../support/files";
import { startGatedCluster } from "../support/gated";
import { type RunningProcess } from "../support/process";
import { type Command, startJob } from "./job";
import { plainKeys } from "./keys";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const LINES_EVERY_MS = 5_000;

const patient = ["-voltimeout", "30s", "-stalltimeout", "30s"];
/** What a job is held by, and how many requests of it at least. */
const jobs: [command: Command, flags: string[], held: "PUT" | "GET", count: number, line: RegExp][] = [
  ["rebalance", patient, "PUT", 32, /^rebalance: [1-9]\d* keys?, [\d.]+ a second$/m],
  ["verify", [...patient, "-repair"], "PUT", 64, /^verify: [1-9]\d* keys?, [\d.]+ a second$/m],
  ["rebuild", [], "GET", 1, /^rebuild: \d+ files?, [\d.]+ a second/m],
];

test("elsewhere than on a terminal a job says every few seconds, in a line of its own, how far it is", async () => {
  await using cluster = await startGatedCluster();
  for (const key of plainKeys("key", 60)) await cluster.store(key);
  await cluster.master.stop();
  for (const { file } of filesOn(cluster.volumes[0]!.dir)) rmSync(file); // Which gives the jobs something to write.
  const gate = cluster.gates[0]!;
  await using held = new AsyncDisposableStack();
  const running: RunningProcess[] = [];
  for (const [command, flags, method, count] of jobs) {
    const db = `${cluster.db}-${command}`;
    cpSync(cluster.db, db, { recursive: true });
    gate.hold(method, "arrival");
    running.push(held.use(startJob(cluster, command, { db, flags })));
    await gate.holds(method, count);
  }
  await Bun.sleep(LINES_EVERY_MS + 500); // As long as a job may be quiet, not a wait for something to happen.
  gate.open();
  for (const [i, job] of running.entries()) {
    expect([await job.exited, job.stderr]).toEqual([0, expect.stringMatching(jobs[i]![4])]);
    expect(job.stdout).toMatch(/^(rebuilt|rebalanced|verified) [^\n]+\n$/);
  }
});
