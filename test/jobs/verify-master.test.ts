// Verify works through a master that goes on serving: what happens meanwhile is no finding, and is not undone.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { startCluster, type Cluster } from "../support/cluster";
import { homeOf } from "../support/copies";
import { Gate } from "../support/gate";
import { dial, follow, head, type Wire } from "../support/http";
import { pathOf } from "../support/placement";
import { isUnderWay } from "../support/under-way";
import { until } from "../support/until";
import { targetOf, valueOf } from "../support/values";
import { damage, fileOf, plant } from "./damage";
import { named, runJob, shelf, shelfOf, startJob, storeAll, type Stored } from "./job";
import { oddKeys, plainKeys } from "./keys";
import { seenAsOrphan } from "./remembered";
import { startTraffic } from "./traffic";
import { countsOf } from "./verified";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const keys = [...plainKeys("key", 40), ...oddKeys];
const BYTES = 400_000;
let cluster: Cluster;
let stored: Map<string | Uint8Array, Stored>;

beforeAll(async () => {
  cluster = await startCluster();
  stored = await storeAll(
    cluster,
    keys.map((key) => [key, valueOf(named(key), 500)]),
  );
  expect((await cluster.ask("UNLINK", "/key-7")).status).toBe(204);
});
afterAll(() => cluster[Symbol.asyncDispose]());

const verify = (...flags: string[]) => runJob(cluster, "verify", { master: cluster.master.url, flags });

/** A PUT of which the master has the first half. */
async function halfAnUpload(key: string): Promise<Wire> {
  const wire = await dial(cluster.master.port);
  wire.write(head({ method: "PUT", target: key, headers: { "Content-Length": String(BYTES) } }, { close: true }));
  wire.write(valueOf(key, BYTES).subarray(0, BYTES / 2));
  await until(() => isUnderWay(cluster.master.port, key), { what: "the write has begun" });
  return wire;
}

/** The other half, and then the value can be read. */
async function finishUpload(key: string, wire: Wire): Promise<void> {
  wire.write(valueOf(key, BYTES).subarray(BYTES / 2));
  expect((await wire.answer()).status).toBe(201);
  expect((await follow(await cluster.ask("GET", key))).body.equals(valueOf(key, BYTES))).toBe(true);
}

test("a store at rest is clean, odd keys and unlinked ones too", async () => {
  for (const flags of [[], ["-md5"], ["-md5", "-repair", "-orphans"]]) {
    const { exitCode, stderr, last } = await verify(...flags);
    expect([exitCode, stderr, countsOf(last)]).toEqual([
      0,
      "",
      countsOf({ keys: keys.length, files: 3 * keys.length }),
    ]);
  }
});

test.each([[[]], [["-md5"]], [["-md5", "-repair", "-orphans"]]])(
  "keys that clients write, unlink and delete meanwhile are no finding (%p)",
  async (flags) => {
    await using traffic = startTraffic(cluster);
    for (let i = 0; i < 3; i++) {
      const { lives } = traffic;
      await until(() => traffic.lives > lives + 4, { what: "the clients are at work" });
      const { exitCode, stderr } = await verify(...flags);
      expect([exitCode, stderr]).toEqual([0, ""]);
    }
    await traffic.stop();
    expect(shelf(cluster)).toEqual(shelfOf(stored, { volumes: cluster.addresses }));
  },
);

test("a value that is still on its way in is no finding", async () => {
  using wire = await halfAnUpload("/slow");
  const { exitCode, stderr, last } = await verify();
  expect([exitCode, stderr, countsOf(last).unfinished]).toEqual([0, "", 0]);
  await finishUpload("/slow", wire);
  expect((await cluster.ask("DELETE", "/slow")).status).toBe(204);
});

test("a value that comes in just before -repair would forget its key is kept", async () => {
  await using gate = await Gate.start(() => cluster.master.port);
  for (const method of ["DELETE", "POST"]) gate.hold(method, "arrival");
  await cluster.store("/late", "old");
  expect((await cluster.ask("UNLINK", "/late")).status).toBe(204);
  for (const volume of homeOf(cluster, "/late")) damage(fileOf(cluster, "/late", volume), "missing");
  using wire = await halfAnUpload("/late");
  await using job = startJob(cluster, "verify", { master: `http://${gate.address}`, flags: ["-repair"] });
  // Either it leaves the key alone, or its request comes when the value is there.
  await Promise.race([gate.holds("DELETE").catch(() => {}), gate.holds("POST").catch(() => {}), job.exited]);
  await finishUpload("/late", wire);
  gate.open();
  await job.exited;
  expect((await follow(await cluster.ask("GET", "/late"))).body.equals(valueOf("/late", BYTES))).toBe(true);
  expect((await cluster.ask("DELETE", "/late")).status).toBe(204);
});

test("a file whose key is busy all the time could not be looked at, and stays", async () => {
  using planted = plant(cluster.volumes[0]!, `sv00${pathOf("/busy")}`, "of before");
  const wire = await halfAnUpload("/busy");
  const { exitCode, last, stderr } = await verify("-repair", "-orphans");
  const where = `${cluster.addresses[0]!}/sv00${pathOf("/busy")}`;
  expect(stderr).toStartWith(`${where}: could not be looked at: another write or delete of this key is under way\n`);
  expect([exitCode, countsOf(last)]).toMatchObject([1, { unknown: 1, orphans: 0 }]);
  expect(existsSync(planted.file)).toBe(true);
  await finishUpload("/busy", wire);
  expect((await cluster.ask("DELETE", "/busy")).status).toBe(204);
});

test("each kind of damage is found and healed while clients are at work", async () => {
  await cluster.master.stop();
  const [missing, emptied, flipped, soft, orphan] = ["/key-1", "/ünï", "/key-3", "/key-7", "/orphan/é"] as const;
  using _planted = plant(cluster.volumes[0]!, `sv00${pathOf(orphan)}`, "orphan");
  await seenAsOrphan(cluster.db, `${cluster.addresses[0]!}/sv00${pathOf(orphan)}`, 2);
  await cluster.startMaster();
  await using traffic = startTraffic(cluster);
  damage(fileOf(cluster, missing, homeOf(cluster, missing)[0]!), "missing");
  damage(fileOf(cluster, emptied, homeOf(cluster, emptied)[1]!), "emptied");
  damage(fileOf(cluster, flipped, homeOf(cluster, flipped)[2]!), "flipped");
  damage(fileOf(cluster, soft, homeOf(cluster, soft)[0]!), "flipped");
  const { exitCode, last, stderr } = await verify("-md5", "-repair", "-orphans");
  await traffic.stop();
  expect(stderr.trimEnd().split("\n").length).toBe(5);
  expect(countsOf(last)).toMatchObject({ missing: 1, damaged: 3, orphans: 1, repaired: 5 });
  expect(exitCode).toBe(0);
  expect(shelf(cluster)).toEqual(shelfOf(stored, { volumes: cluster.addresses }));
  expect(await cluster.keys("unlinked")).toEqual(["/key-7"]);
});

const alike = [
  ["//twin", "/twin"],
  ["/twin//x", "/twin/x"],
  ["///", "/"],
  ["/a%2Fb", "/a/b"],
  ["/q?rebalance", "/q"],
  ["/ h#x", "/ h"],
];

test.each(alike)(
  "what is left of %p is forgotten, and %p, which looks much like it, is not touched",
  async (left, other) => {
    if (!stored.has(other)) await cluster.store(other);
    if (!stored.has(left)) await cluster.store(left);
    expect((await cluster.ask("UNLINK", targetOf(left))).status).toBe(204);
    for (const volume of homeOf(cluster, left)) damage(fileOf(cluster, left, volume), "missing");
    const { exitCode, last } = await verify("-repair");
    const [kept, forgotten] = [await cluster.ask("GET", targetOf(other)), await cluster.ask("DELETE", targetOf(left))];
    stored.delete(left);
    expect([exitCode, countsOf(last)]).toMatchObject([0, { unfinished: 1, repaired: 1 }]);
    expect([kept.status, forgotten.status]).toEqual([302, 404]);
  },
);

test("all copies damaged: set aside on the volumes, 410, exit code 1; the clients of other keys notice nothing", async () => {
  const key = "/key-9";
  for (const volume of homeOf(cluster, key)) damage(fileOf(cluster, key, volume), "flipped");
  await using traffic = startTraffic(cluster);
  const { exitCode, stderr } = await verify("-md5", "-repair");
  await traffic.stop();
  expect([exitCode, stderr.includes(`/damaged${pathOf(key)}`)]).toEqual([1, true]);
  expect((await cluster.ask("GET", key)).status).toBe(410);
  expect((await cluster.ask("DELETE", key)).status).toBe(204);
  expect((await verify("-md5")).exitCode).toBe(0);
});
