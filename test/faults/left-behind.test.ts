// A volume that died was taken out of -volumes: the others do without it, and what it had is not believed if it comes back.
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { withoutGrace } from "../support/grace";
import { runJob } from "../jobs/job";
import { plainKeys } from "../jobs/keys";
import { startBlackHole } from "../support/black-hole";
import { type Cluster, startCluster } from "../support/cluster";
import { follow, request } from "../support/http";
import { owing, settledOwing } from "../support/journals";
import { pathOf, placedOn } from "../support/placement";
import { freePort } from "../support/ports";
import { until } from "../support/until";

setDefaultTimeout(60_000);
withoutGrace();
const flags = ["-replicas", "2", "-voltimeout", "1s", "-heal", "0"];

/** Has the first volume die, and takes it out; all keys move to the others. Returns those that it had. */
async function loseFirst(cluster: Cluster): Promise<string[]> {
  const keys = plainKeys("key", 30);
  for (const key of keys) await cluster.store(key);
  const [dead, ...rest] = cluster.addresses;
  const had = keys.filter((key) => placedOn(key, { volumes: cluster.addresses, replicas: 2 }).join().includes(dead!));
  await cluster.volumes[0]!.kill();
  await cluster.startMaster(flags, rest);
  const { exitCode, output } = await runWithoutFirst(cluster, "rebalance");
  expect([exitCode, output]).toEqual([0, expect.stringContaining(`${had.length} old copies are left on volumes`)]);
  return had;
}

/** A job through the master, which has all volumes but the first. */
function runWithoutFirst(cluster: Cluster, command: "rebalance" | "verify", jobFlags: string[] = []) {
  const master = `http://localhost:${cluster.master.port}`;
  return runJob(cluster, command, { master, volumes: cluster.addresses.slice(1), flags: jobFlags });
}

test.concurrent("of a dead volume that was taken out nothing is owed: no write has to wait for it", async () => {
  await using cluster = await startCluster({ flags });
  await loseFirst(cluster);
  expect(owing(cluster.db)).toBe(0);
});

test.concurrent("what was deleted while a volume was dead and taken out does not come back with it", async () => {
  await using cluster = await startCluster({ flags });
  const [deleted, replaced, kept] = await loseFirst(cluster);
  expect((await cluster.ask("DELETE", deleted!)).status).toBe(204);
  expect((await cluster.ask("PUT", `${replaced}?replace`, { body: "new" })).status).toBe(201);
  const check = await runWithoutFirst(cluster, "verify", ["-md5"]);
  expect(check.exitCode).toBe(0); // Which has not looked at that volume.
  const [dead] = cluster.volumes;
  await dead!.restart();
  await cluster.startMaster();
  const warning = new RegExp(`warn ${dead!.address}.* may have values of an earlier time`);
  await until(() => warning.test(cluster.master.output), { what: "it is told" });
  expect(cluster.filesOf(pathOf(deleted!)).map(({ file }) => file.startsWith(dead!.dir))).toEqual([true]);
  await cluster.master.stop();
  const rebuilt = await runJob(cluster, "rebuild", { flags: ["-replicas", "2"] });
  expect([rebuilt.exitCode, rebuilt.output]).toEqual([
    0,
    expect.stringContaining(`${pathOf(deleted!)}: on a disk that was put back, and deleted since, not indexed`),
  ]);
  await cluster.startMaster();
  expect((await cluster.ask("GET", deleted!)).status).toBe(404);
  expect((await follow(await cluster.ask("GET", replaced!))).text).toBe("new");
  expect((await follow(await cluster.ask("GET", kept!))).text).toBe(`value of ${kept}`);
});

test.concurrent(
  "an old copy on a volume that was taken out and answers is owed: the log tells of it, and it goes",
  async () => {
    await using cluster = await startCluster({ flags });
    const keys = plainKeys("key", 10);
    for (const key of keys) await cluster.store(key);
    const [leaving] = cluster.volumes;
    const rest = cluster.addresses.slice(1);
    const left = () => cluster.remains().filter((file) => file.startsWith(leaving!.dir)).length;
    const slow = [...flags, "-grace", "10m"];
    await cluster.startMaster(slow, rest);
    const { exitCode } = await runWithoutFirst(cluster, "rebalance");
    expect([exitCode, owing(cluster.db)]).toEqual([0, left()]);
    await leaving!.kill();
    await cluster.startMaster(flags, rest);
    const told = new RegExp(`waits: .*${leaving!.address}/sv\\d+ does not say who it is`);
    await until(() => told.test(cluster.master.output), { what: "the log says what it waits for" });
    await leaving!.restart();
    await settledOwing(cluster.db);
    expect([left(), existsSync(leaving!.dir)]).toEqual([0, true]);
  },
);

test.concurrent(
  "a volume that was taken out, and lies behind a network that says nothing, holds up few keys",
  async () => {
    const adminport = String(await freePort());
    await using cluster = await startCluster({ flags });
    const keys = plainKeys("key", 150);
    for (const key of keys) await cluster.store(key);
    const [dead, ...rest] = cluster.addresses;
    await cluster.volumes[0]!.kill();
    await using _hole = await startBlackHole(Number(dead!.split(":")[1]));
    await cluster.startMaster([...flags, "-adminport", adminport], rest);
    const { exitCode, output } = await runWithoutFirst(cluster, "rebalance");
    expect([exitCode, output]).toEqual([0, expect.stringContaining(" old copies are left on volumes")]);
    const metrics = (await request(Number(adminport), { target: "/metrics" })).text;
    const timeouts = [...metrics.matchAll(/^mkv_volume_requests_total\{volume="other".*outcome="timeout"\} (\d+)$/gm)];
    const asked = timeouts.reduce((sum, [, count]) => sum + Number(count), 0);
    expect([asked > 0, asked < keys.length / 2]).toEqual([true, true]); // Not one for each key: as many as move at once.
  },
);
