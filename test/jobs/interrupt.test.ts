// Whoever has started a job can end it, and start it again.
import { expect, setDefaultTimeout, test } from "bun:test";
import { startGatedCluster } from "../support/gated";
import { until, within } from "../support/until";
import { besides, indexOf, runJob, shelf, startJob, type Command } from "./job";
import { plainKeys } from "./keys";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const jobs: [command: Command, signal: NodeJS.Signals, held: string, flags: string[]][] = [
  ["rebuild", "SIGINT", "GET", []],
  ["rebalance", "SIGTERM", "HEAD", []],
  ["verify", "SIGINT", "GET", ["-md5"]],
];

test("Ctrl-C and SIGTERM end every job at once; nothing is lost, and the next run goes through", async () => {
  await using cluster = await startGatedCluster();
  for (const key of plainKeys("key", 20)) await cluster.store(key);
  await cluster.master.stop();
  const [index, files] = [await indexOf(cluster.db), shelf(cluster)];
  for (const [command, signal, held, flags] of jobs) {
    for (const gate of cluster.gates) gate.hold(held, "arrival");
    await using job = startJob(cluster, command, { flags: ["-voltimeout", "30s", ...flags] });
    await cluster.gates[0]!.holds(held);
    job.signal(signal);
    const code = await within(job.exited, { what: `${signal} ends ${command}`, deadlineMs: 5_000 });
    expect([command, code > 0, job.stdout]).toEqual([command, true, ""]);
    expect(job.stderr).not.toMatch(/a bug|^\s+at /m);
    cluster.openAll();
    await until(() => !job.children().length, { what: "nothing of it is left" });
    expect((await runJob(cluster, command)).exitCode).toBe(0);
    expect([await indexOf(cluster.db), shelf(cluster), besides(cluster.db)]).toEqual([index, files, []]);
  }
});
