// What an operation could not remove from a volume that was down is remembered until the volume is back, whatever happens
// to the key meanwhile: a file that nobody remembers comes back to life in the next rebuild.
import { expect, setDefaultTimeout, test } from "bun:test";
import { copiesOf, copiesOn, homeOf, indexOf, keyFirstOn } from "../support/copies";
import { startGatedCluster, type GatedCluster } from "../support/gated";
import { holding } from "../support/holding";
import { dial, follow, head } from "../support/http";
import { isUnderWay } from "../support/under-way";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";
import { storeSoon } from "./crash";

setDefaultTimeout(90_000);
const flags = ["-voltimeout", "2s", "-stalltimeout", "2s"];
const DOWN = 1;

/** A key whose old value is nowhere in the index any more and still on the volume that is down. */
async function startWithDebt(
  options: string[] = [],
  replicas = 3,
): Promise<{ cluster: GatedCluster; key: string } & AsyncDisposable> {
  return await holding(async (held) => {
    const cluster = held.use(await startGatedCluster({ volumes: 5, flags: [...flags, ...options] }));
    const key = keyFirstOn(cluster, DOWN, "owed");
    await cluster.store(key, "old value");
    await cluster.ask("UNLINK", key);
    await cluster.volumes[DOWN]!.kill();
    const written = async () => (await cluster.ask("PUT", key, { body: "new value" })).status === 201;
    await until(written, { what: "other volumes take the value" });
    expect(Object.keys(copiesOf(cluster, key)).length).toBe(replicas + 1);
    return { cluster, key, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
  });
}

/** A client that goes away in the middle of a value. */
async function breakOff(cluster: GatedCluster, key: string): Promise<void> {
  using wire = await dial(cluster.master.port);
  wire.write(head({ method: "PUT", target: key, headers: { "Content-Length": "500000" } }, { close: true }));
  wire.write(valueOf("broken off", 250_000));
  await until(() => isUnderWay(cluster.master.port, key), { what: "the write has begun" });
}

/** The write that was broken off has been taken back. */
async function tookBack(cluster: GatedCluster, key: string): Promise<void> {
  await until(async () => !(await isUnderWay(cluster.master.port, key)), { what: "the key is free" });
}

const events: [string, (cluster: GatedCluster, key: string) => Promise<unknown>][] = [
  ["nothing else", async () => {}],
  ["a DELETE", (cluster, key) => cluster.ask("DELETE", key)],
  [
    "a DELETE, then a client that breaks off a write",
    async (cluster, key) => {
      await cluster.ask("DELETE", key);
      await breakOff(cluster, key);
      await tookBack(cluster, key);
    },
  ],
  [
    "an UNLINK, then a client that breaks off a write",
    async (cluster, key) => {
      await cluster.ask("UNLINK", key);
      await breakOff(cluster, key);
      await tookBack(cluster, key);
    },
  ],
  [
    "an UNLINK, then a write that a kill of the master cuts off",
    async (cluster, key) => {
      await cluster.ask("UNLINK", key);
      await breakOff(cluster, key);
      await cluster.master.kill();
      await cluster.startMaster();
    },
  ],
  [
    "a kill of the master",
    async (cluster) => {
      await cluster.master.kill();
      await cluster.startMaster();
    },
  ],
  [
    "a kill of the master, then a DELETE, a write and another kill",
    async (cluster, key) => {
      await cluster.master.kill();
      await cluster.startMaster();
      await cluster.ask("DELETE", key);
      await storeSoon(cluster, key, "newest value");
      await cluster.master.kill();
      await cluster.startMaster();
    },
  ],
];

test.concurrent.each(events)(
  "an old value on a volume that is down goes when it is back, after %s",
  async (_, happens) => {
    await using owed = await startWithDebt();
    const { cluster, key } = owed;
    await happens(cluster, key);
    await cluster.volumes[DOWN]!.restart();
    const clean = () => !Object.values(copiesOf(cluster, key)).includes(md5Hex("old value"));
    await until(clean, { what: "the old value goes", deadlineMs: 20_000 });
    const found = await cluster.ask("GET", key);
    if (found.status === 302) {
      const { text } = await follow(found);
      expect(copiesOf(cluster, key)).toEqual(copiesOn(found.headers.get("key-volumes")!.split(","), text));
    } else if ((await cluster.keys("unlinked")).length === 0) expect(copiesOf(cluster, key)).toEqual({});
    expect(cluster.remains().length).toBe(Object.keys(copiesOf(cluster, key)).length);
  },
);

test.concurrent("on two threads, debts of one key from both of them outlive a kill", async () => {
  await using cluster = await startGatedCluster({ volumes: 5, flags: [...flags, "-threads", "2"] });
  // Two volumes go down, one after the other: each PUT leaves the value before it on one of them. Which thread does
  // which is chance, so there are many keys.
  const keys = Array.from({ length: 24 }, (_, i) => keyFirstOn(cluster, DOWN, `both-${i}`));
  for (const key of keys) await cluster.store(key, "first");
  for (const [down, value] of [
    [DOWN, "second"],
    [DOWN + 1, "third"],
  ] as const) {
    for (const key of keys) await cluster.ask("UNLINK", key);
    await cluster.volumes[down]!.kill();
    for (const key of keys) await cluster.store(key, value);
  }
  for (const key of keys) expect((await cluster.ask("DELETE", key)).status).toBe(204);
  expect(cluster.remains().length).toBeGreaterThan(keys.length);
  await cluster.master.kill();
  await cluster.startMaster();
  for (const down of [DOWN, DOWN + 1]) await cluster.volumes[down]!.restart();
  await until(() => cluster.remains().length === 0, { what: "nothing is left of the keys", deadlineMs: 20_000 });
});

test.concurrent.each([1, 3])(
  "a key that its user unlinked while a volume was down stays (no MD5s, %d replicas)",
  async (replicas) => {
    await using owed = await startWithDebt(["-md5sum=false", "-threads", "1", "-replicas", String(replicas)], replicas);
    const { cluster, key } = owed;
    const volumes = homeOf(cluster, key, replicas + 1).filter((volume) => indexOf(cluster, volume) !== DOWN);
    // Written anew while something is owed: once unlinked, its record may look as it did while the write was under way.
    expect((await cluster.ask("DELETE", key)).status).toBe(204);
    await cluster.store(key, "newest value");
    expect((await cluster.ask("UNLINK", key)).status).toBe(204);
    await cluster.volumes[DOWN]!.restart();
    const clean = () => Bun.deepEquals(copiesOf(cluster, key), copiesOn(volumes, "newest value"));
    await until(clean, { what: "the old value goes", deadlineMs: 20_000 });
    await cluster.startMaster();
    expect(await cluster.keys("unlinked")).toEqual([key]);
    expect(copiesOf(cluster, key)).toEqual(copiesOn(volumes, "newest value"));
  },
);
