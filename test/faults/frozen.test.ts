// A volume is frozen: its kernel takes connections and bytes, and nothing answers. It may cost a deadline, never more.
import { expect, setDefaultTimeout, test } from "bun:test";
import { bigValue } from "../support/big";
import { copiesOf, copiesOn, homeOf, keyFirstOn } from "../support/copies";
import { startGatedCluster, type GatedCluster } from "../support/gated";
import { follow } from "../support/http";
import { isUnderWay } from "../support/under-way";
import { until } from "../support/until";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(90_000);
withoutGrace();
const deadlines = ["-voltimeout", "1s", "-stalltimeout", "1s"];
const FROZEN = 1;
// A DELETE may have to wait for a disk: the longest deadline there is.
const LONGEST_MS = 15_000;

/** What it gives, and how long it took. */
async function timed<T>(work: Promise<T>): Promise<{ result: T; ms: number }> {
  const start = performance.now();
  const result = await work;
  return { result, ms: performance.now() - start };
}

/** Freezes one of the three volumes of these keys and waits until GETs of them are not slowed by it. */
async function freeze(cluster: GatedCluster, keys: string[]): Promise<void> {
  cluster.volumes[FROZEN]!.freeze();
  let quick = 0;
  const unnoticed = async () => {
    const { result, ms } = await timed(cluster.ask("GET", keys[quick % keys.length]!));
    expect([result.status, ms < 5_000]).toEqual([302, true]);
    const frozen = result.headers.get("location")!.startsWith(`http://${cluster.addresses[FROZEN]!}/`);
    quick = ms < 90 && !frozen ? quick + 1 : 0;
    return quick === 15; // One in three would have asked the frozen one first.
  };
  await until(unnoticed, { what: "the frozen volume is marked down", deadlineMs: 20_000 });
}

test("a frozen volume costs GETs nothing once it is marked down, and none is sent to it", async () => {
  await using cluster = await startGatedCluster({ flags: deadlines });
  const keys = Array.from({ length: 300 }, (_, i) => `/frozen-${i}`);
  for (const key of keys) await cluster.store(key);
  const readAll = async () => {
    for (const key of keys) expect((await follow(await cluster.ask("GET", key))).text).toBe(`value of ${key}`);
  };
  const before = await timed(readAll());
  await freeze(cluster, keys.slice(0, 30));
  const after = await timed(readAll());
  // Of three hundred GETs a hundred would ask the frozen one first: each would wait for a tenth of a second at least.
  expect(after.ms).toBeLessThan(2 * before.ms + 4_000);
  cluster.volumes[FROZEN]!.thaw();
  const back = async () => {
    const found = await cluster.ask("GET", keys[0]!);
    return found.headers.get("location")!.startsWith(`http://${cluster.addresses[FROZEN]!}/`);
  };
  await until(back, { what: "it serves again when it is back" });
});

test("GETs of a key whose other volumes are dead are refused at the deadline, and served when the frozen one is back", async () => {
  await using cluster = await startGatedCluster({ flags: deadlines });
  await cluster.store("/last-hope");
  cluster.volumes[FROZEN]!.freeze();
  for (const volume of [0, 2]) await cluster.volumes[volume]!.kill();
  const { result, ms } = await timed(cluster.ask("GET", "/last-hope"));
  expect([result.status, Number(result.headers.get("retry-after")) > 0, ms < 3_000]).toEqual([503, true, true]);
  cluster.volumes[FROZEN]!.thaw();
  const served = async () => (await cluster.ask("GET", "/last-hope")).status === 302;
  await until(served, { what: "the key is served again" });
});

test("a DELETE that meets a frozen volume is done at its deadline, and what that volume holds goes when it is back", async () => {
  await using cluster = await startGatedCluster({ flags: deadlines });
  await cluster.store("/deleted");
  cluster.volumes[FROZEN]!.freeze();
  const { result, ms } = await timed(cluster.ask("DELETE", "/deleted"));
  expect([result.status, ms < LONGEST_MS]).toEqual([204, true]);
  expect((await cluster.ask("GET", "/deleted")).status).toBe(404);
  expect([await cluster.keys("list"), await cluster.keys("unlinked")]).toEqual([[], []]);
  expect(cluster.remains().length).toBe(1);
  const again = await timed(cluster.ask("DELETE", "/deleted"));
  expect([again.result.status, again.ms < LONGEST_MS]).toEqual([404, true]); // 409 if it were locked.
  cluster.volumes[FROZEN]!.thaw();
  await until(() => cluster.remains().length === 0, { what: "the last copy goes", deadlineMs: 20_000 });
  expect([await cluster.keys("list"), await cluster.keys("unlinked")]).toEqual([[], []]);
});

test("UNLINK and the lists never wait for a volume", async () => {
  await using cluster = await startGatedCluster({ flags: ["-voltimeout", "5s", "-stalltimeout", "5s"] });
  await cluster.store("/unlinked");
  for (const volume of cluster.volumes) volume.freeze();
  const { result, ms } = await timed(cluster.ask("UNLINK", "/unlinked"));
  expect([result.status, ms < 2_500]).toEqual([204, true]);
  const list = await timed(cluster.keys("unlinked"));
  expect([list.result, list.ms < 2_500]).toEqual([["/unlinked"], true]);
});

test("a rebalance that meets a frozen volume ends at its deadline, and the key stays where it is", async () => {
  await using cluster = await startGatedCluster({ volumes: 5, flags: [...deadlines, "-replicas", "2"] });
  const key = keyFirstOn(cluster, FROZEN, "moved");
  const value = bigValue(key, 5_000_000);
  await cluster.volumes[FROZEN]!.kill();
  await cluster.store(key, value);
  const away = homeOf(cluster, key, 5).slice(1, 3);
  await cluster.volumes[FROZEN]!.restart();
  // The gate lets the question through and stops the copy: the volume freezes between the two.
  cluster.gates[FROZEN]!.hold("PUT", "body");
  // What the write sent to the volume that was dead may still land for a while: until then the key is busy.
  const asked = async () => {
    const answer = await timed(cluster.ask("POST", `${key}?rebalance`, { timeoutMs: 30_000 }));
    return answer.result.status === 409 ? undefined : answer;
  };
  const { result, ms } = await until(asked, { what: "the key is not busy", deadlineMs: 20_000 });
  expect([result.status, ms < LONGEST_MS]).toEqual([400, true]);
  expect((await follow(await cluster.ask("GET", key))).body.equals(value)).toBe(true);
  cluster.openAll();
  const where = copiesOn(away, value);
  const clean = () => Bun.deepEquals(copiesOf(cluster, key), where) && cluster.remains().length === 2;
  await until(clean, { what: "nothing is left of the copy", deadlineMs: 20_000 });
  const moved = async () => (await cluster.ask("POST", `${key}?rebalance`)).status === 204;
  await until(moved, { what: "the key moves in the end", deadlineMs: 20_000 });
  expect(copiesOf(cluster, key)).toEqual(copiesOn(homeOf(cluster, key, 2), value));
});

test("a key whose write met a frozen volume is free at the deadline", async () => {
  await using cluster = await startGatedCluster({ flags: deadlines });
  await cluster.store("/warm-up"); // All volumes have just answered: the next write relies on that.
  cluster.volumes[FROZEN]!.freeze();
  const first = cluster.ask("PUT", "/met", { body: bigValue("met", 20_000_000), timeoutMs: 30_000 });
  await until(() => isUnderWay(cluster.master.port, "/met"), { what: "the write has begun" });
  expect((await cluster.ask("PUT", "/met", { body: "second" })).status).toBe(409);
  const { result, ms } = await timed(first);
  expect([result.status, ms < LONGEST_MS]).toEqual([503, true]);
  const again = await timed(cluster.ask("PUT", "/met", { body: "third" }));
  expect([again.result.status, again.ms < LONGEST_MS]).toEqual([503, true]);
  expect(await cluster.keys("list")).toEqual(["/warm-up"]);
});
