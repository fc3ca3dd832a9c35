// Volumes come and go, replicas become more and fewer, disks are lost: every key is brought to where it belongs.
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { follow } from "../support/http";
import { runMkv } from "../support/master";
import { pathOf, placedOn } from "../support/placement";
import { md5Hex, targetOf, valueOf } from "../support/values";
import { indexOf, named, runJob, shelf, shelfOf, storeAll, type Stored } from "./job";
import { oddKeys, plainKeys } from "./keys";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(120_000);
withoutGrace();

interface Contents {
  stored: Map<string | Uint8Array, Stored>;
  unlinked: Set<string | Uint8Array>;
  unhashed: Set<string | Uint8Array>;
}

/** Stores keys of all kinds with the master's settings, and stops the master. */
async function fill(cluster: Cluster, flags: string[], volumes = cluster.addresses): Promise<Contents> {
  const valued = (keys: readonly (string | Uint8Array)[], bytes: number) =>
    keys.map((key): [string | Uint8Array, Uint8Array] => [key, valueOf(named(key), bytes)]);
  await cluster.startMaster(flags, volumes);
  const stored = await storeAll(cluster, [
    ...valued([...plainKeys("key", 30), ...oddKeys], 500),
    ...valued(["/large"], 700_000),
  ]);
  const unlinked = new Set<string | Uint8Array>(["/key-3", "/key-4", "/ünï", "/unhashed-1"]);
  const unhashed = new Set<string | Uint8Array>(plainKeys("unhashed", 4));
  await cluster.startMaster([...flags, "-md5sum=false"], volumes);
  for (const [key, value] of await storeAll(cluster, valued([...unhashed], 500))) stored.set(key, value);
  for (const key of unlinked) expect((await cluster.ask("UNLINK", targetOf(key))).status).toBe(204);
  expect(await cluster.master.stop()).toBe(0);
  return { stored, unlinked, unhashed };
}

/** Every key lies where it belongs, byte for byte and with its time, nothing else lies anywhere, and the index says so. */
async function expectHome(
  cluster: Cluster,
  { stored, unlinked, unhashed }: Contents,
  layout: { volumes: string[]; replicas?: number; subvolumes?: number },
): Promise<void> {
  expect(shelf(cluster)).toEqual(shelfOf(stored, layout));
  const records = [...stored].map(([key, { value }]): [string, string] => {
    const [state, hash] = [unlinked.has(key) ? "DELETED" : "", unhashed.has(key) ? "" : `HASH${md5Hex(value)}`];
    return [named(key), `${state}${hash}${placedOn(key, layout).join(",")}`];
  });
  expect(await indexOf(cluster.db)).toEqual(Object.fromEntries(records));
}

/** Runs it twice: the second time there is nothing to do. */
async function expectRebalanced(
  cluster: Cluster,
  { volumes, flags = [], moved, total }: { volumes: string[]; flags?: string[]; moved: number; total: number },
): Promise<void> {
  for (const count of [moved, 0]) {
    const { exitCode, stdout, stderr } = await runJob(cluster, "rebalance", { volumes, flags });
    const counts = `rebalanced ${total} keys: ${count} moved, ${total - count} in place, 0 failed\n`;
    expect([exitCode, stdout, stderr]).toEqual([0, counts, ""]);
  }
}

/** How many keys are not on the same volumes, in the same order, under both layouts. */
function movers(
  { stored }: Contents,
  from: Parameters<typeof placedOn>[1],
  to: Parameters<typeof placedOn>[1],
): number {
  return [...stored.keys()].filter((key) => placedOn(key, from).join() !== placedOn(key, to).join()).length;
}

test.concurrent(
  "from three volumes to five and back: each value with its time, on its volumes, and nowhere else",
  async () => {
    await using cluster = await startCluster({ volumes: 5 });
    const [three, five] = [cluster.addresses.slice(0, 3), cluster.addresses];
    const contents = await fill(cluster, [], three);
    const total = contents.stored.size;
    const moved = movers(contents, { volumes: three }, { volumes: five });
    expect([moved > total / 2, moved < total]).toEqual([true, true]);
    for (const volumes of [five, three]) {
      await expectRebalanced(cluster, { volumes, moved, total });
      await expectHome(cluster, contents, { volumes });
    }
    await cluster.startMaster([], three);
    for (const [key, { value }] of contents.stored) {
      const answer = await cluster.ask("GET", targetOf(key));
      expect([named(key), answer.status]).toEqual([named(key), contents.unlinked.has(key) ? 404 : 302]);
      if (answer.status === 302) expect((await follow(answer)).body.equals(value)).toBe(true);
    }
    expect(await cluster.keys("unlinked")).toEqual([...contents.unlinked].map(String).sort());
  },
);

test.concurrent("from two replicas to three, to one, and to other subvolumes", async () => {
  await using cluster = await startCluster({ volumes: 3, flags: ["-replicas", "2"] });
  const contents = await fill(cluster, ["-replicas", "2"]);
  const total = contents.stored.size;
  const volumes = cluster.addresses;
  for (const [replicas, subvolumes] of [
    [3, 10],
    [1, 10],
    [1, 1],
    [2, 300],
  ] as const) {
    const flags = ["-replicas", String(replicas), "-subvolumes", String(subvolumes)];
    const before = await indexOf(cluster.db);
    const layout = { volumes, replicas, subvolumes };
    const moved = [...contents.stored.keys()].filter(
      (key) => !before[named(key)]!.endsWith(`${placedOn(key, layout).join(",")}`),
    ).length;
    await expectRebalanced(cluster, { volumes, flags, moved, total });
    await expectHome(cluster, contents, layout);
  }
});

test.concurrent("-subvolumes that is forgotten moves nothing: only one that was given changes the store", async () => {
  const subvolumes = ["-subvolumes", "4"];
  await using cluster = await startCluster({ volumes: 3, flags: subvolumes });
  for (let i = 0; i < 5; i++) await cluster.store(`/kept-${i}`);
  await cluster.master.stop();
  const before = shelf(cluster);
  const text = "the store has -subvolumes 4, not 10";
  const line = `mkv: ${text}: give that flag, or run rebalance with -subvolumes 10 to change it\n`;
  for (const [command, ...flags] of [["rebalance"], ["verify", "-repair"], ["verify", "-orphans"]] as const)
    expect(await runJob(cluster, command, { flags: [...flags] })).toMatchObject({ exitCode: 1, stderr: line });
  const server = ["-db", cluster.db, "-volumes", cluster.addresses.join(","), "-port", "0", "server"];
  expect(await runMkv(server)).toMatchObject({ exitCode: 1, stderr: line });
  expect((await runJob(cluster, "verify", {})).last).toMatch(/ [1-5] misplaced/);
  expect(shelf(cluster)).toEqual(before);
  const changed = await runJob(cluster, "rebalance", { flags: ["-subvolumes", "10", "-replicas", "2"] });
  expect([changed.exitCode, changed.last]).toEqual([0, expect.stringContaining(" 0 failed")]);
  await cluster.startMaster(["-replicas", "2"]);
});

test.concurrent("volumes named in another order belong to the same keys: nothing moves", async () => {
  await using cluster = await startCluster();
  const contents = await fill(cluster, []);
  const volumes = cluster.addresses.toReversed();
  await expectRebalanced(cluster, { volumes, moved: 0, total: contents.stored.size });
  await expectHome(cluster, contents, { volumes });
});

test.concurrent("disks that were lost and replaced by empty ones are filled again, once they are adopted", async () => {
  await using cluster = await startCluster({ volumes: 4, flags: ["-replicas", "2"] });
  const contents = await fill(cluster, ["-replicas", "2"]);
  const [lost] = cluster.volumes;
  for (const name of readdirSync(lost!.dir).filter((name) => name.startsWith("sv")))
    rmSync(join(lost!.dir, name), { recursive: true });
  const layout = { volumes: cluster.addresses, replicas: 2 };
  const holds = (key: string | Uint8Array) => placedOn(key, layout).some((volume) => volume.startsWith(lost!.address));
  const moved = [...contents.stored.keys()].filter(holds).length;
  const adopted = await runJob(cluster, "adopt", { flags: ["-replicas", "2"], words: [lost!.address] });
  expect(adopted.exitCode).toBe(0);
  const options = { volumes: cluster.addresses, flags: ["-replicas", "2"], moved, total: contents.stored.size };
  await expectRebalanced(cluster, options);
  await expectHome(cluster, contents, layout);
});

test.concurrent("a volume that is neither configured nor reachable is told of, and holds up nothing", async () => {
  await using cluster = await startCluster({ volumes: 4 });
  const contents = await fill(cluster, []);
  const [gone] = cluster.volumes;
  const rest = cluster.addresses.slice(1);
  const orphaned = [...contents.stored.keys()].filter((key) =>
    cluster.filesOf(pathOf(key)).some(({ file }) => file.startsWith(gone!.dir)),
  );
  await gone!.kill();
  const { exitCode, stdout } = await runJob(cluster, "rebalance", { volumes: rest });
  const [first, second] = stdout.trimEnd().split("\n");
  expect([exitCode, first]).toEqual([0, expect.stringMatching(/ 0 failed$/)]);
  expect(second).toBe(`${orphaned.length} old copies are left on volumes that are neither configured nor reachable`);
  await expectRebalanced(cluster, { volumes: rest, moved: 0, total: contents.stored.size });
  rmSync(gone!.dir, { recursive: true });
  mkdirSync(gone!.dir);
  await expectHome(cluster, contents, { volumes: rest });
});

test.concurrent(
  "an empty index: nothing to do, exit code 0; one that is not there is not made: exit code 1",
  async () => {
    await using cluster = await startCluster({ volumes: 1, flags: ["-replicas", "1"] });
    await cluster.master.stop();
    await expectRebalanced(cluster, { volumes: cluster.addresses, flags: ["-replicas", "1"], moved: 0, total: 0 });
    const db = `${cluster.db}-absent`;
    for (const command of ["rebalance", "verify"] as const) {
      const { exitCode, stderr } = await runJob(cluster, command, { db, flags: ["-replicas", "1"] });
      expect([exitCode, stderr]).toEqual([1, `mkv: there is no index at ${db}: run rebuild first\n`]);
      expect(readdirSync(join(db, "..")).filter((name) => name.startsWith("index-absent"))).toEqual([]);
    }
  },
);
