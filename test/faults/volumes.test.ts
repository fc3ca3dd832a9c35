// One volume fails; the store does not. Each fault once with as many volumes as replicas, once with more.
import { expect, setDefaultTimeout, test } from "bun:test";
import { copiesOf, copiesOn, homeOf, indexOf, keyFirstOn } from "../support/copies";
import { startGatedCluster, type GatedCluster } from "../support/gated";
import { follow } from "../support/http";
import { recordsIn } from "../support/records";
import { runMkv } from "../support/master";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";
import { cutOff, dead, frozen } from "./fault";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(90_000);
withoutGrace();
const deadlines = ["-voltimeout", "2s", "-stalltimeout", "2s"];
const SICK = 1;

/** The key is served with its value, and its record names these volumes. */
async function expectServed(cluster: GatedCluster, key: string, value: Uint8Array, volumes: string[]): Promise<void> {
  const found = await cluster.ask("GET", key);
  const balance = volumes.join() === homeOf(cluster, key).join() ? "balanced" : "unbalanced";
  expect([found.status, found.headers.get("key-volumes")]).toEqual([302, volumes.join(",")]);
  expect([found.headers.get("key-balance"), found.headers.get("content-md5")]).toEqual([balance, md5Hex(value)]);
  expect(md5Hex((await follow(found)).body)).toBe(md5Hex(value));
}

/** The key lies on these volumes, and there is nothing else on any volume, soon. */
async function expectOnly(cluster: GatedCluster, key: string, value: Uint8Array, volumes: string[]): Promise<void> {
  const wanted = copiesOn(volumes, value);
  const clean = () => Bun.deepEquals(copiesOf(cluster, key), wanted) && cluster.remains().length === volumes.length;
  await until(clean, { what: `${key} lies on ${volumes.join(", ")} and nothing else anywhere`, deadlineMs: 20_000 });
}

/** POST ?rebalance works, at the latest once the master trusts the volume again, and the key is at home. */
async function expectHomecoming(cluster: GatedCluster, key: string, value: Uint8Array): Promise<void> {
  const moved = async () => (await cluster.ask("POST", `${key}?rebalance`)).status === 204;
  await until(moved, { what: `${key} is brought home`, deadlineMs: 20_000 });
  await expectServed(cluster, key, value, homeOf(cluster, key));
  await expectOnly(cluster, key, value, homeOf(cluster, key));
}

for (const fault of [dead, frozen, cutOff]) {
  test.concurrent(`of three volumes one is ${fault.name}: a write is refused, and nothing of it is kept`, async () => {
    await using cluster = await startGatedCluster({ flags: deadlines });
    const key = keyFirstOn(cluster, SICK, "refused");
    const value = valueOf(key, 300_000);
    await fault.strike(cluster, SICK);
    for (let i = 0; i < 2; i++) {
      const { status, headers, text } = await cluster.ask("PUT", key, { body: value });
      expect([status, text.split("\n").length]).toEqual([503, 2]);
      expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
      expect((await cluster.ask("GET", key)).status).toBe(404);
      expect(await cluster.keys("list")).toEqual([]);
    }
    await fault.heal(cluster, SICK);
    const clean = async () => cluster.remains().length === 0 && (await cluster.keys("unlinked")).length === 0;
    await until(clean, { what: "nothing is left of the writes", deadlineMs: 20_000 });
    const written = async () => (await cluster.ask("PUT", key, { body: value })).status === 201;
    await until(written, { what: "the key is written once the volume is back", deadlineMs: 20_000 });
    await expectServed(cluster, key, value, homeOf(cluster, key));
    await expectOnly(cluster, key, value, homeOf(cluster, key));
  });

  test.concurrent(
    `of three volumes one is ${fault.name}: with -minreplicas 2 the others hold the value, and it comes home`,
    async () => {
      await using cluster = await startGatedCluster({ flags: [...deadlines, "-minreplicas", "2"] });
      const key = keyFirstOn(cluster, SICK, "thin");
      const value = valueOf(key, 300_000);
      await fault.strike(cluster, SICK);
      expect((await cluster.ask("PUT", key, { body: value })).status).toBe(201);
      const others = homeOf(cluster, key).slice(1);
      await expectServed(cluster, key, value, others);
      await fault.heal(cluster, SICK);
      await expectOnly(cluster, key, value, others);
      await expectHomecoming(cluster, key, value);
    },
  );

  test.concurrent.each([[[]], [["-minreplicas", "2"]]])(
    `of five volumes one is ${fault.name}: the next one takes its copy, and it comes home (flags %p)`,
    async (flags) => {
      await using cluster = await startGatedCluster({ volumes: 5, flags: [...deadlines, ...flags] });
      const key = keyFirstOn(cluster, SICK, "detour");
      const value = valueOf(key, 300_000);
      await fault.strike(cluster, SICK);
      expect((await cluster.ask("PUT", key, { body: value })).status).toBe(201);
      const detour = homeOf(cluster, key, 4).slice(1);
      await expectServed(cluster, key, value, detour);
      await fault.heal(cluster, SICK);
      await expectOnly(cluster, key, value, detour);
      await expectHomecoming(cluster, key, value);
    },
  );
}

test.concurrent("the job brings home what was written while a volume was dead", async () => {
  await using cluster = await startGatedCluster({ volumes: 5, flags: deadlines });
  await dead.strike(cluster, SICK);
  const keys = Array.from({ length: 20 }, (_, i) => `/job-${i}`);
  for (const key of keys) await cluster.store(key);
  await cluster.ask("UNLINK", keys[7]!);
  const strangers = keys.filter((key) => homeOf(cluster, key).some((volume) => indexOf(cluster, volume) === SICK));
  expect(strangers.length).toBeGreaterThan(2);
  await cluster.master.stop();
  await dead.heal(cluster, SICK);
  const { exitCode } = await runMkv([
    "-db",
    cluster.db,
    "-volumes",
    cluster.addresses.join(","),
    "-grace",
    "0",
    "rebalance",
  ]);
  expect(exitCode).toBe(0);
  for (const key of keys) expect(copiesOf(cluster, key)).toEqual(copiesOn(homeOf(cluster, key), `value of ${key}`));
  expect(cluster.remains().length).toBe(3 * keys.length);
  for (const { key, value } of await recordsIn(cluster.db)) {
    const name = key.toString();
    const state = name === keys[7] ? "DELETED" : "";
    expect(value).toBe(`${state}HASH${md5Hex(`value of ${name}`)}${homeOf(cluster, name).join(",")}`);
  }
});

test.concurrent("fewer copies than -minreplicas are never acknowledged, however many volumes are gone", async () => {
  await using cluster = await startGatedCluster({ volumes: 5, flags: [...deadlines, "-minreplicas", "2"] });
  for (const volume of [0, 1, 2]) await dead.strike(cluster, volume);
  // The first try may have gone to the three that are gone: they had answered a moment ago.
  const written = async () => (await cluster.ask("PUT", "/two-left", { body: "thin" })).status === 201;
  await until(written, { what: "the two that are left take the value" });
  expect(Object.keys(copiesOf(cluster, "/two-left")).length).toBe(2);
  await dead.strike(cluster, 3);
  const { status, headers } = await cluster.ask("PUT", "/one-left", { body: "too thin" });
  expect([status, Number(headers.get("retry-after")) > 0]).toEqual([503, true]);
  expect((await cluster.ask("GET", "/one-left")).status).toBe(404);
  expect((await follow(await cluster.ask("GET", "/two-left"))).text).toBe("thin");
  expect(copiesOf(cluster, "/one-left")).toEqual({});
});

test.concurrent("a volume that is back takes its keys again, though nobody asked it for anything", async () => {
  await using cluster = await startGatedCluster({ volumes: 4, flags: deadlines });
  await dead.strike(cluster, SICK);
  await cluster.store(keyFirstOn(cluster, SICK, "noticed"));
  await dead.heal(cluster, SICK);
  let round = 0;
  const balanced = async () => {
    const key = keyFirstOn(cluster, SICK, `back-${round++}`);
    await cluster.store(key);
    return (await cluster.ask("GET", key)).headers.get("key-balance") === "balanced";
  };
  await until(balanced, { what: "a new key is where it belongs" });
});
