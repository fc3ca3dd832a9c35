// The laws of trust, 5: a volume is who it says it is, not what it is called.
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { runJob } from "../jobs/job";
import { startCluster } from "../support/cluster";
import { copiesOf, homeOf, indexOf, keyFirstOn } from "../support/copies";
import { filesOn } from "../support/files";
import { runMkv } from "../support/master";
import { until } from "../support/until";

setDefaultTimeout(60_000);

test.concurrent(
  "law 5: one server under two names is refused, by the server and by every job, and nothing of it goes",
  async () => {
    await using cluster = await startCluster({ volumes: 2, flags: ["-replicas", "1"] });
    for (let i = 0; i < 6; i++) await cluster.store(`/twin-${i}`);
    await cluster.master.stop();
    const twice = [
      cluster.addresses[0]!,
      cluster.addresses[0]!.replace("localhost", "127.0.0.1"),
      cluster.addresses[1]!,
    ];
    for (const command of ["server", "rebalance", "verify"]) {
      const args = ["-db", cluster.db, "-volumes", twice.join(","), "-replicas", "1", "-port", "0", command];
      const { exitCode, stderr } = await runMkv(args);
      expect([command, exitCode]).toEqual([command, 1]);
      for (const name of twice.slice(0, 2)) expect(stderr).toContain(name);
    }
    expect(cluster.volumes.flatMap(({ dir }) => filesOn(dir)).length).toBe(6);
  },
);

test.concurrent(
  "law 5: another folder in the place of a disk is not written to, and what it lacks is not lost",
  async () => {
    await using cluster = await startCluster({ volumes: 2, flags: ["-replicas", "1"] });
    const key = keyFirstOn(cluster, 0, "moved-disk");
    await cluster.store(key, "there");
    const [home] = homeOf(cluster, key, 1);
    const disk = join(cluster.volumes[0]!.dir, home!.split("/")[1]!);
    expect(readFileSync(join(disk, "mkv", "id"), "utf8")).toMatch(/^[0-9a-f-]{36}\n$/);
    await cluster.master.stop();
    renameSync(disk, `${disk}-aside`); // As if it were not mounted.
    await cluster.startMaster();
    expect(cluster.master.output).toMatch(new RegExp(`${home} is not the disk it was`));
    expect((await cluster.ask("GET", key)).status).toBe(503);
    const other = await cluster.ask("PUT", `${key}x`, { body: "elsewhere" });
    expect(other.status).toBe(201);
    const verified = await runJob(cluster, "verify", { master: cluster.master.url, flags: ["-replicas", "1"] });
    expect(verified.last).toMatch(/ 0 missing, 0 damaged, [1-9]\d* unknown/);
    expect(existsSync(join(disk, "mkv", "id"))).toBe(false);
    await cluster.master.stop();
    if (existsSync(disk)) renameSync(disk, `${disk}-empty`);
    renameSync(`${disk}-aside`, disk); // Mounted again.
    await cluster.startMaster();
    expect((await cluster.ask("GET", key)).status).toBe(302);
  },
);

test.concurrent("law 5: what is owed to a server follows it to its new name", async () => {
  await using cluster = await startCluster({ volumes: 3, flags: ["-replicas", "2"] });
  const key = keyFirstOn(cluster, 0, "owed");
  await cluster.store(key, "deleted");
  await cluster.volumes[0]!.kill();
  expect((await cluster.ask("DELETE", key)).status).toBe(204);
  await cluster.master.stop();
  await cluster.volumes[0]!.start();
  expect(Object.keys(copiesOf(cluster, key)).length).toBe(1);
  const renamed = cluster.addresses.map((name, i) => (i === 0 ? name.replace("localhost", "127.0.0.1") : name));
  await cluster.startMaster(["-replicas", "2"], renamed);
  await until(() => Object.keys(copiesOf(cluster, key)).length === 0, { what: "the file is gone", deadlineMs: 30_000 });
  expect(indexOf(cluster, homeOf(cluster, key, 1)[0]!)).toBe(0);
});

test.concurrent("law 5: a forgotten -subvolumes, or volumes of another store, are refused by the server", async () => {
  await using cluster = await startCluster({ volumes: 2, flags: ["-replicas", "1", "-subvolumes", "4"] });
  await using other = await startCluster({ volumes: 1, flags: ["-replicas", "1"] });
  await cluster.store("/kept");
  await cluster.master.stop();
  const server = (volumes: readonly string[], ...flags: string[]) =>
    runMkv(["-db", cluster.db, "-volumes", volumes.join(","), "-replicas", "1", "-port", "0", ...flags, "server"]);
  for (const [volumes, flags, what] of [
    [cluster.addresses, [], /-subvolumes 4.*rebalance/],
    [other.addresses, ["-subvolumes", "4"], /none of the store's volumes.*rebalance/],
  ] as const) {
    const { exitCode, stderr } = await server(volumes, ...flags);
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(what)]);
  }
  await cluster.startMaster(["-replicas", "1", "-subvolumes", "4"]);
  expect((await cluster.ask("GET", "/kept")).status).toBe(302);
});
