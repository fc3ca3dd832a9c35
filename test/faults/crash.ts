// Owns the end of a master at a known point: its requests to the volumes are held there, then it is killed.
import { expect } from "bun:test";
import { copiesOf, copiesOn, homeOf, indexOf, keyFirstOn } from "../support/copies";
import { startGatedCluster, type GatedCluster } from "../support/gated";
import { follow, type Answer } from "../support/http";
import { owing } from "../support/journals";
import { recordsIn } from "../support/records";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";

const BYSTANDER = "/bystander"; // Unlinked by its user; nothing that happens to other keys may touch it.
export const BYTES = 200_000; // More than a gate lets pass of a body that it holds.

/** A store with one unlinked key. */
export async function startStore(volumes: number, flags: string[] = []): Promise<GatedCluster> {
  const deadlines = ["-voltimeout", "2s", "-stalltimeout", "5s"];
  const cluster = await startGatedCluster({ volumes, flags: [...deadlines, ...flags] });
  await cluster.store(BYSTANDER);
  await cluster.ask("UNLINK", BYSTANDER);
  return cluster;
}

/** Kills the master when the request is held where it should be; it has not been answered then. */
export async function killWhile(
  cluster: GatedCluster,
  request: Promise<Answer>,
  held: Promise<unknown>,
): Promise<void> {
  const answered = request.then(({ status }) => status).catch(() => "no answer");
  await held;
  await cluster.master.kill();
  await Promise.all(cluster.gates.map((gate) => gate.isDeserted()));
  expect(await answered).toBe("no answer");
}

/** Starts a master to which the volumes listen, except that removals wait: what it will clean up is still there. */
export async function restartBeforeCleanUp(cluster: GatedCluster): Promise<void> {
  cluster.openAll();
  for (const gate of cluster.gates) gate.hold("DELETE", "arrival");
  await cluster.startMaster();
}

/** Stores a value of a key whose unfinished work volumes may still have in hand: soon they cannot any more. */
export async function storeSoon(cluster: GatedCluster, key: string, value: string | Buffer): Promise<void> {
  const written = async () => {
    const { status } = await cluster.ask("PUT", key, { body: value });
    expect([201, 409, 503]).toContain(status);
    return status === 201;
  };
  await until(written, { what: `${key} is written`, deadlineMs: 20_000 });
}

/** A key with a value that does not lie where it belongs: its first volume was dead when it was written. */
export async function storeAway(
  cluster: GatedCluster,
  name: string,
  replicas = 3,
): Promise<{ key: string; away: string[] }> {
  const key = keyFirstOn(cluster, 0, name);
  await cluster.volumes[0]!.kill();
  const written = async () => (await cluster.ask("PUT", key, { body: oldValue(key) })).status === 201;
  await until(written, { what: "another volume takes the value" });
  await cluster.volumes[0]!.restart();
  const away = homeOf(cluster, key, replicas + 1).slice(1);
  expect(copiesOf(cluster, key)).toEqual(copiesOn(away, oldValue(key)));
  const probe = keyFirstOn(cluster, 0, "probe");
  const trusted = async () => {
    await cluster.store(probe, "x");
    const { headers } = await cluster.ask("GET", probe);
    expect((await cluster.ask("DELETE", probe)).status).toBe(204);
    return headers.get("key-balance") === "balanced";
  };
  await until(trusted, { what: "the volume is trusted again" });
  await settled(cluster);
  return { key, away };
}

/** Waits until nothing is owed, and no volume may still carry out what was begun. */
export async function settled(cluster: GatedCluster): Promise<void> {
  await until(() => owing(cluster.db) === 0, { what: "nothing is owed any more", deadlineMs: 20_000 });
}

export function oldValue(key: string): Buffer {
  return valueOf(`old ${key}`, BYTES);
}

export function newValue(key: string): Buffer {
  return valueOf(`new ${key}`, BYTES);
}

/** The gate before a volume as records name it. */
export function gateOf(cluster: GatedCluster, volume: string) {
  return cluster.gates[indexOf(cluster, volume)]!;
}

/** The key is not shown. */
export async function expectHidden(cluster: GatedCluster, key: string): Promise<void> {
  expect((await cluster.ask("GET", key)).status).toBe(404);
  expect(await cluster.keys("list")).toEqual([]);
}

/** The key is the one that is shown, with this value from each of these volumes. */
export async function expectShown(cluster: GatedCluster, key: string, value: Buffer, volumes: string[]): Promise<void> {
  expect(await cluster.keys("list")).toEqual([key]);
  const served = new Set<string>();
  const all = async () => {
    const found = await cluster.ask("GET", key);
    expect([found.status, found.headers.get("key-volumes")]).toEqual([302, volumes.join(",")]);
    expect(md5Hex((await follow(found)).body)).toBe(md5Hex(value));
    return served.add(new URL(found.headers.get("location")!).host).size === volumes.length;
  };
  await until(all, { what: `each of ${volumes.join(", ")} serves the value` });
}

/** Soon the volumes hold this and nothing else, beside the bystander. */
export async function expectRemains(cluster: GatedCluster, key: string, copies: Record<string, string>): Promise<void> {
  const count = Object.keys(copies).length + 3;
  const clean = () => Bun.deepEquals(copiesOf(cluster, key), copies) && cluster.remains().length === count;
  await until(clean, { what: `what remains of ${key} is ${JSON.stringify(copies)}`, deadlineMs: 20_000 });
}

/** Soon the unlinked keys are the bystander and these. */
export async function expectUnlinked(cluster: GatedCluster, keys: string[] = []): Promise<void> {
  const wanted = [BYSTANDER, ...keys].sort();
  const clean = async () => Bun.deepEquals(await cluster.keys("unlinked"), wanted);
  await until(clean, { what: `the unlinked keys are ${wanted.join(", ")}`, deadlineMs: 20_000 });
}

/** The index, once the master has ended, holds the bystander as it was and exactly these records. */
export async function expectIndex(cluster: GatedCluster, records: Record<string, string> = {}): Promise<void> {
  expect(await cluster.master.stop()).toBe(0);
  const found = Object.fromEntries((await recordsIn(cluster.db)).map(({ key, value }) => [key.toString(), value]));
  const bystander = `DELETED${liveRecord(`value of ${BYSTANDER}`, homeOf(cluster, BYSTANDER))}`;
  expect(found).toEqual({ ...records, [BYSTANDER]: bystander });
}

/** The record of a live key. */
export function liveRecord(value: string | Buffer, volumes: string[]): string {
  return `HASH${md5Hex(value)}${volumes.join(",")}`;
}
