// What a master under -sync asks the volumes' sync services, and when it answers; a stand-in is asked in their place.
import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { copiesOf, copiesOn, homeOf, indexOf } from "../support/copies";
import { follow } from "../support/http";
import { runMkv } from "../support/master";
import { pathOf, placedOn } from "../support/placement";
import { until } from "../support/until";
import { valueOf } from "../support/values";
import { startWatchedCluster, type WatchedCluster } from "./stand-in";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();

/** The asks for one file on each of these volumes, as lists in the order of the cluster's volumes. */
function oneAskEach(cluster: WatchedCluster, key: string, volumes: string[]): string[][] {
  const lists: string[][] = cluster.volumes.map(() => []);
  for (const volume of volumes) {
    lists[indexOf(cluster, volume)]!.push(volume.replace(/^[^/]*/, "") + pathOf(key));
  }
  return lists;
}

const takeAll = (cluster: WatchedCluster) => cluster.syncs.map((sync) => sync.take());
/** Without the question whether there is a sync service. */
const takeFiles = (cluster: WatchedCluster) => takeAll(cluster).map((asks) => asks.filter((path) => path !== "/"));

/** Whether it has settled, asked after a round trip to the master. */
async function isSettled(cluster: WatchedCluster, promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  void promise.finally(() => (settled = true));
  await cluster.ask("GET", "/?list");
  return settled;
}

test.concurrent("a PUT is answered, and the value shown, when the last replica is on its disk", async () => {
  await using cluster = await startWatchedCluster();
  const areNoted = () =>
    cluster.syncs.every(({ notes }) => notes.filter((path) => path.endsWith("/mkv/epoch")).length > 10);
  await until(areNoted, { what: "each disk has synced how far the store has come" }); // Else it seems older after a power cut.
  for (const sync of cluster.syncs) sync.hold();
  const put = cluster.ask("PUT", "/waits", { body: "value" });
  for (const sync of cluster.syncs) {
    await Promise.all(cluster.syncs.map((each) => each.asked()));
    expect(await isSettled(cluster, put)).toBe(false);
    expect((await cluster.ask("GET", "/waits")).status).toBe(404);
    sync.letGo();
  }
  expect((await put).status).toBe(201);
  expect((await follow(await cluster.ask("GET", "/waits"))).text).toBe("value");
});

test.concurrent("a DELETE is answered when the last replica is gone from its disk", async () => {
  await using cluster = await startWatchedCluster();
  await cluster.store("/goes");
  cluster.takeCounts();
  for (const sync of cluster.syncs) sync.hold();
  const deletion = cluster.ask("DELETE", "/goes");
  for (const sync of cluster.syncs) {
    await Promise.all(cluster.syncs.map((each) => each.asked()));
    expect(await isSettled(cluster, deletion)).toBe(false);
    sync.letGo();
  }
  expect((await deletion).status).toBe(204);
});

const bodies: [string, number, number | undefined][] = [
  ["of one byte", 1, undefined],
  ["that is streamed", 3_000_000, undefined],
  ["in chunks", 300_000, 10_000],
];

test.concurrent.each(bodies)(
  "each replica of a value %s is synced once by its PUT, and once by its DELETE",
  async (_, ...body) => {
    await using cluster = await startWatchedCluster({ volumes: 4 });
    const [bytes, chunkBytes] = body;
    const expected = oneAskEach(cluster, "/kéy", homeOf(cluster, "/kéy"));
    const put = await cluster.ask("PUT", "/k%C3%A9y", { body: valueOf("k", bytes), chunkBytes });
    expect([put.status, takeAll(cluster)]).toEqual([201, expected]);
    expect((await follow(await cluster.ask("GET", "/k%C3%A9y"))).status).toBe(200);
    expect((await cluster.ask("UNLINK", "/k%C3%A9y")).status).toBe(204);
    expect(cluster.takeCounts()).toEqual([0, 0, 0, 0]); // Reading syncs nothing, and UNLINK touches no volume.
    expect((await cluster.ask("DELETE", "/k%C3%A9y")).status).toBe(204);
    expect(takeAll(cluster)).toEqual(expected);
  },
);

test.concurrent("without -sync nothing is asked", async () => {
  await using cluster = await startWatchedCluster({ withSync: false });
  await cluster.store("/fast");
  expect((await cluster.ask("POST", "/fast?rebalance")).status).toBe(204);
  expect((await cluster.ask("DELETE", "/fast")).status).toBe(204);
  expect(cluster.takeCounts()).toEqual([0, 0, 0]);
});

test.concurrent(
  "a value that replaces another is on the disk, staged and at its place, even without -sync",
  async () => {
    await using cluster = await startWatchedCluster({ withSync: false });
    await cluster.store("/replaced");
    const placed = oneAskEach(cluster, "/replaced", homeOf(cluster, "/replaced"));
    expect((await cluster.ask("PUT", "/replaced?replace", { body: "new" })).status).toBe(201);
    const staged = (path: string) => path.replace(pathOf("/replaced"), (place) => `/staged${place}`);
    expect(takeFiles(cluster)).toEqual(placed.map((paths) => paths.flatMap((path) => [staged(path), path])));
  },
);

test.concurrent.each([
  ["below a path", "/data/store-1", 10],
  ["without subvolumes", "", 1],
  ["below a path, without subvolumes", "/data", 1],
])("volumes %s are asked for the files where they lie", async (_, below, subvolumes) => {
  await using cluster = await startWatchedCluster();
  const volumes = cluster.addresses.map((address) => address + below);
  await cluster.startMaster(["-sync", "-subvolumes", String(subvolumes)], volumes);
  const started = takeAll(cluster);
  expect(started).toEqual([["/"], ["/"], ["/"]]);
  await cluster.store("/deep");
  const expected = oneAskEach(cluster, "/deep", placedOn("/deep", { volumes, subvolumes }));
  expect(takeAll(cluster)).toEqual(expected);
  expect((await cluster.ask("DELETE", "/deep")).status).toBe(204);
  expect(takeAll(cluster)).toEqual(expected);
});

/** A key with one replica that belongs on another volume as soon as there is a fourth. */
async function storeToMove(cluster: WatchedCluster): Promise<{ key: string; from: string; to: string }> {
  await cluster.startMaster(["-sync", "-replicas", "1"], cluster.addresses.slice(0, 3));
  for (let i = 0; ; i++) {
    const key = `/move-${i}`;
    const [from] = placedOn(key, { volumes: cluster.addresses.slice(0, 3), replicas: 1 });
    const [to] = homeOf(cluster, key, 1);
    if (from === to) continue;
    await cluster.store(key);
    return { key, from: from!, to: to! };
  }
}

const movers: [string, (cluster: WatchedCluster, key: string) => Promise<void>][] = [
  [
    "POST ?rebalance",
    async (cluster, key) => {
      await cluster.startMaster(["-sync", "-replicas", "1"]);
      cluster.takeCounts();
      expect((await cluster.ask("POST", `${key}?rebalance`)).status).toBe(204);
    },
  ],
  [
    "the job rebalance",
    async (cluster) => {
      await cluster.master.stop();
      cluster.takeCounts();
      const args = [
        "-sync",
        "-grace",
        "0",
        "-replicas",
        "1",
        "-db",
        cluster.db,
        "-volumes",
        cluster.addresses.join(","),
      ];
      expect(await runMkv([...args, "rebalance"])).toMatchObject({ exitCode: 0 });
    },
  ],
];

test.concurrent.each(movers)("%s syncs the new copy, and then the removal of the old one", async (_, move) => {
  await using cluster = await startWatchedCluster({ volumes: 4 });
  const { key, from, to } = await storeToMove(cluster);
  await move(cluster, key);
  expect(takeFiles(cluster)).toEqual(oneAskEach(cluster, key, [from, to]));
  expect(copiesOf(cluster, key)).toEqual(copiesOn([to], `value of ${key}`));
});

test.concurrent("a copy that verify -repair makes is synced, and so are those that it stands beside", async () => {
  await using cluster = await startWatchedCluster();
  await cluster.store("/healed");
  const [lost] = homeOf(cluster, "/healed");
  rmSync(cluster.filesOf(pathOf("/healed"))[indexOf(cluster, lost!)]!.file);
  cluster.takeCounts();
  const args = ["-sync", "-repair", "-master", cluster.master.url, "-volumes", cluster.addresses.join(",")];
  expect(await runMkv([...args, "verify"])).toMatchObject({ exitCode: 0 });
  expect(takeFiles(cluster)).toEqual(oneAskEach(cluster, "/healed", homeOf(cluster, "/healed")));
});

test.concurrent(
  "a copy on the next volume, in place of one that cannot sync, is synced; what that one has is removed",
  async () => {
    await using cluster = await startWatchedCluster({ volumes: 4 });
    const home = homeOf(cluster, "/detour", 4);
    const failing = cluster.syncs[indexOf(cluster, home[1]!)]!;
    failing.status = 500;
    await cluster.store("/detour");
    const holders = home.filter((volume) => volume !== home[1]);
    expect((await cluster.ask("GET", "/detour")).headers.get("key-volumes")).toBe(holders.join(","));
    const asks = takeAll(cluster);
    const expected = oneAskEach(cluster, "/detour", home);
    expect(asks.map((list) => [...new Set(list)])).toEqual(expected);
    expect(copiesOf(cluster, "/detour")).toEqual(copiesOn(holders, "value of /detour"));
    failing.status = undefined;
    await failing.asked(); // The removal is owed until it is on the disk too.
  },
);

test.concurrent("while the disks are slow to sync, values are read, and every write waits its turn", async () => {
  await using cluster = await startWatchedCluster();
  await cluster.store("/read");
  for (const sync of cluster.syncs) sync.hold();
  const statusOf = (put: Promise<{ status: number }>) => put.then(({ status }) => status).catch(() => "no answer");
  const puts = Array.from({ length: 40 }, (_, i) => statusOf(cluster.ask("PUT", `/slow-${i}`, { body: "value" })));
  await Promise.all(cluster.syncs.map((sync) => sync.asked(4)));
  const end = performance.now() + 4_000; // A disk that is so busy; more than a volume may take to answer a HEAD.
  const statuses = new Set<number>();
  await until(
    async () => {
      statuses.add((await cluster.ask("GET", "/read")).status);
      return performance.now() > end;
    },
    { what: "the disks have been slow for long enough", deadlineMs: 30_000 },
  );
  for (const sync of cluster.syncs) sync.letGo();
  expect([...statuses]).toEqual([302]);
  expect([...new Set(await Promise.all(puts))]).toEqual([201]);
});

test.concurrent("a sync service that too many ask at once is asked again", async () => {
  await using cluster = await startWatchedCluster();
  cluster.syncs[2]!.status = 502;
  const put = cluster.ask("PUT", "/later", { body: "value" });
  await until(() => cluster.syncs[2]!.take().length > 0, { what: "it is asked" });
  cluster.syncs[2]!.status = undefined;
  expect((await put).status).toBe(201);
});
