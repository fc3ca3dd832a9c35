// Jobs that take long tell how far they are.
import { expect, setDefaultTimeout, test } from "bun:test";
import { cpSync } from "node:fs";
import { startGatedCluster } from "../support/gated";
import { type Command, startJob } from "./job";
import { plainKeys } from "./keys";

setDefaultTimeout(60_000);
const LINES_EVERY_MS = 5_000;

const jobs: [command: Command, flags: string[], line: RegExp][] = [
  ["rebuild", [], /^rebuild: [1-9]\d* of 65536$/m],
  ["rebalance", ["-voltimeout", "30s"], /^rebalance: [1-9]\d* of 40$/m],
  ["verify", ["-voltimeout", "30s"], /^verify: ([1-9]\d*) of (?!\1$)\d+$/m],
];

test("elsewhere than on a terminal a job says every few seconds, in a line of its own, how far it is", async () => {
  await using cluster = await startGatedCluster();
  for (const key of plainKeys("key", 40)) await cluster.store(key);
  await cluster.master.stop();
  const gate = cluster.gates[0]!;
  for (const method of ["GET", "HEAD"]) gate.hold(method, "arrival");
  await using held = new AsyncDisposableStack();
  const running = jobs.map(([command, flags]) => {
    const db = `${cluster.db}-${command}`;
    cpSync(cluster.db, db, { recursive: true });
    return held.use(startJob(cluster, command, { db, flags }));
  });
  await Bun.sleep(LINES_EVERY_MS + 500); // As long as a job may be quiet, not a wait for something to happen.
  gate.open();
  for (const [i, job] of running.entries()) {
    expect([await job.exited, job.stderr]).toEqual([0, expect.stringMatching(jobs[i]![2])]);
    expect(job.stdout).toMatch(/^(rebuilt|rebalanced|verified) [^\n]+\n$/);
  }
});
