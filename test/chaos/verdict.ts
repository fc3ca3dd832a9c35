// Owns the judgement when the storm is over: every volume is back, so everything has to be in order, soon.
import { expect } from "bun:test";
import { join } from "node:path";
import { copiesOf, homeOf } from "../support/copies";
import { filesOn } from "../support/files";
import { follow } from "../support/http";
import { keysOwing } from "../support/journals";
import { runMkv } from "../support/master";
import { pathOf } from "../support/placement";
import { recordsIn } from "../support/records";
import { until } from "../support/until";
import { md5Hex, targetOf } from "../support/values";
import { isLive, type KeyModel, type State } from "./model";
import { REPLICAS, type World } from "./world";

const SOON_MS = 60_000;

/** What all keys turn out to be: their state, and the MD5 of the live ones. */
type Found = Map<KeyModel, State>;

/** Throws unless the store keeps all of its promises. */
export async function judge(world: World): Promise<Found> {
  const found = await settled(world);
  await expectNothingElse(world, found);
  for (const [key, state] of found) found.set(key, await broughtHome(world, key, state));
  await expectAllHome(world, found);
  expect(await world.cluster.master.stop()).toBe(0);
  expect((world.said + world.cluster.master.output).match(/.*a bug.*/g) ?? []).toEqual([]);
  await expectRecords(world, found);
  if (world.putBacks === 0) await expectRebuilt(world);
  return found;
}

/** Waits until every key is in one of the states that it may be in for good, and reads the live ones. */
async function settled(world: World): Promise<Found> {
  const { cluster, keys } = world;
  const found: Found = new Map();
  let wrong: [KeyModel, State][] = [];
  const allowed = async () => {
    const [live, unlinked] = [new Set(await cluster.keys("list")), new Set(await cluster.keys("unlinked"))];
    for (const key of keys) {
      const gone: State = unlinked.has(key.key) ? "unlinked" : "absent";
      found.set(key, live.has(key.key) ? await read(world, key) : gone);
    }
    wrong = [...found].filter(([key, state]) => !forGood(key).has(state));
    return wrong.length === 0;
  };
  await until(allowed, { what: "every key is in a state that it may be in", deadlineMs: SOON_MS }).catch((error) => {
    const [key, state] = wrong[0] ?? [];
    if (!key) throw error;
    key.violated(`${wrong.length} keys are in a wrong state: this one is ${state}`, forGood(key));
  });
  return found;
}

/** The states in which the key may be found: what is hollow is listed as unlinked. */
function forGood(key: KeyModel): Set<State> {
  return new Set([...key.possible()].map((state) => (state === "hollow" ? "unlinked" : state)));
}

async function read({ cluster, putBacks }: World, key: KeyModel): Promise<State> {
  const found = await cluster.ask("GET", targetOf(key.key));
  if (found.status !== 302)
    return key.violated(`it is listed, but GET says ${found.status} ${found.text}`, forGood(key));
  const { status, body } = await follow(found);
  if (status !== 200) return key.violated(`its volume says ${status}`, forGood(key));
  const md5 = found.headers.get("content-md5");
  const isUnknown = putBacks > 0 && md5 === null; // A rebuild does not know what the index did not know.
  if (!isUnknown && md5 !== md5Hex(body)) key.violated(`its MD5 should be ${md5}, not ${md5Hex(body)}`, forGood(key));
  return `live ${md5Hex(body)}`;
}

/** Waits until the volumes hold the copies that the live keys' records name, and files of no key that is gone. */
async function expectNothingElse(world: World, found: Found): Promise<void> {
  const { cluster, keys } = world;
  const named = new Map<KeyModel, string[]>();
  let wrong: KeyModel[] = [];
  const isNoneWrong = async () => {
    for (const [key, state] of found) {
      if (!isLive(state)) continue;
      const { headers } = await cluster.ask("GET", targetOf(key.key)); // The master may be moving it home.
      named.set(key, headers.get("key-volumes")!.split(","));
    }
    wrong = keys.filter((key) => {
      const state = found.get(key)!;
      const copies = without(copiesOf(cluster, key.key), forgotten(world, key, named.get(key)));
      if (state === "absent") return Object.keys(copies).length > 0;
      return isLive(state) && !Bun.deepEquals(copies, copiesWith(named.get(key)!, state));
    });
    return wrong.length === 0;
  };
  await until(isNoneWrong, { what: "all debts are paid", deadlineMs: SOON_MS }).catch(() => {
    const [key, ...others] = wrong;
    const copies = JSON.stringify(copiesOf(cluster, key!.key));
    key!.violated(`${others.length + 1} keys have wrong files: this one ${copies}, ${named.get(key!)}`, [
      found.get(key!)!,
    ]);
  });
}

/**
 * Volumes whose file of a key nobody need know any more: an older index was put back, and with it the journals, and it is
 * one of the key's values, and not where the record says that the value lies.
 */
function forgotten({ cluster, putBacks }: World, key: KeyModel, named: readonly string[] = []): string[] {
  if (putBacks === 0) return [];
  const copies = Object.entries(copiesOf(cluster, key.key));
  return copies.filter(([volume, md5]) => !named.includes(volume) && key.values.has(md5)).map(([volume]) => volume);
}

function without(copies: Record<string, string>, volumes: readonly string[]): Record<string, string> {
  return Object.fromEntries(Object.entries(copies).filter(([volume]) => !volumes.includes(volume)));
}

/** The copies of a live key on these volumes. */
function copiesWith(volumes: string[], state: State): Record<string, string> {
  const md5 = state.slice("live ".length);
  return Object.fromEntries(volumes.map((volume) => [volume, md5]));
}

/** Brings a key that is there home. Its state may turn out to be another: a left-over looks unlinked until it goes. */
async function broughtHome({ cluster }: World, key: KeyModel, state: State): Promise<State> {
  let last = { status: 0, text: "" };
  const moved = async () => {
    last = await cluster.ask("POST", `${targetOf(key.key)}?rebalance`);
    if (last.status === 404) return !isLive(state) && forGood(key).has("absent");
    return last.status === 204 || (last.status === 400 && !isLive(state)); // What is unlinked may be damaged.
  };
  await until(moved, { what: "it moves", deadlineMs: 30_000 }).catch(() =>
    key.violated(`it does not move: ${last.status} ${last.text}`, [state]),
  );
  return last.status === 404 ? "absent" : state;
}

/** Every live key lies where it belongs, whole, and no value, whole or not, lies anywhere else, once strays have had their time. */
async function expectAllHome(world: World, found: Found): Promise<void> {
  const { cluster, keys } = world;
  const live = keys.filter((key) => isLive(found.get(key)!));
  const homes = new Map(live.map((key) => [key, homeOf(cluster, key.key, REPLICAS)]));
  for (const [key, home] of homes) {
    const { headers } = await cluster.ask("GET", targetOf(key.key));
    expect([headers.get("key-balance"), headers.get("key-volumes")]).toEqual(["balanced", home.join(",")]);
  }
  const strange = () =>
    live.find((key) => {
      const home = homes.get(key)!;
      const copies = without(copiesOf(cluster, key.key), forgotten(world, key, home));
      return !Bun.deepEquals(copies, copiesWith(home, found.get(key)!));
    });
  await until(() => !strange(), { what: "every live key is at home alone", deadlineMs: SOON_MS }).catch(() => {
    const key = strange()!;
    key.violated(`it lies on ${JSON.stringify(copiesOf(cluster, key.key))}, not at ${homes.get(key)}`, []);
  });
  // Strays of unlinked keys go meanwhile.
  const counts = () => {
    const ofKeys = keys.reduce((sum, { key }) => sum + Object.keys(copiesOf(cluster, key)).length, 0);
    return [ofKeys, cluster.remains().length, cluster.volumes.flatMap(({ dir }) => filesOn(dir)).length];
  };
  await until(() => new Set(counts()).size === 1, { what: "no other file is anywhere", deadlineMs: SOON_MS });
}

/** The index holds a record of each key that is there, with the volumes of all files that are not owed, and nothing else. */
async function expectRecords(world: World, found: Found): Promise<void> {
  const { cluster, putBacks } = world;
  const owed = keysOwing(cluster.db);
  const records = new Map((await recordsIn(cluster.db)).map(({ key, value }) => [key.toString(), value]));
  for (const [key, state] of found) {
    const record = records.get(key.key);
    records.delete(key.key);
    const home = homeOf(cluster, key.key, REPLICAS);
    const hash = putBacks > 0 && !record?.startsWith("HASH") ? "" : `HASH${state.slice("live ".length)}`;
    if (isLive(state)) expect(record).toBe(hash + home.join(","));
    if (state === "absent") expect(record).toBe(undefined);
    if (state !== "unlinked") continue;
    const [, volumes = ""] = /^DELETED(?:HASH[0-9a-f]{32})?(.*)$/.exec(record ?? "") ?? [];
    const named = volumes.split(",");
    const copies = without(copiesOf(cluster, key.key), forgotten(world, key, named));
    const elsewhere = Object.keys(copies).filter((volume) => !named.includes(volume));
    if (elsewhere.length > 0 && !owed.has(key.key)) key.violated(`its record ${record} lacks ${elsewhere}`, [state]);
  }
  expect([...records]).toEqual([]);
}

/** A new index out of the files alone names each key that has files, with exactly their volumes in placement order. */
async function expectRebuilt({ cluster, keys }: World): Promise<void> {
  const db = join(cluster.db, "..", "rebuilt");
  const { exitCode, stderr } = await runMkv(["-db", db, "-volumes", cluster.addresses.join(","), "rebuild"], {
    timeoutMs: 60_000,
  });
  expect([exitCode, stderr]).toEqual([0, ""]);
  const rebuilt = new Map((await recordsIn(db)).map(({ key, value }) => [key.toString(), value]));
  const expected = new Map<string, string>();
  for (const { key } of keys) {
    const copies = copiesOf(cluster, key);
    const volumes = homeOf(cluster, key, cluster.volumes.length).filter((volume) => volume in copies);
    if (volumes.length > 0) expected.set(key, volumes.join(","));
  }
  expect(Object.fromEntries(rebuilt)).toEqual(Object.fromEntries(expected));
  expect(pathOf(keys[0]!.key).split("/").length).toBeGreaterThan(4); // A key with a folder of its own was among them.
}
