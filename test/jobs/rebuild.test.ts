// An index is made again out of the files on the volumes.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { utimesSync } from "node:fs";
import { join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { request } from "../support/http";
import { pathOf, placedOn } from "../support/placement";
import { md5Hex, targetOf, valueOf } from "../support/values";
import { besides, indexOf, named, runJob, storeAll, type JobOutcome } from "./job";
import { oddKeys, plainKeys } from "./keys";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const hashed = [...plainKeys("hashed", 20), ...oddKeys];
const unhashed = ["/unhashed", "/ünhashed/é"];
const soft = ["/soft", "/soft/é", `/soft${"-and-long".repeat(30)}`];
const softUnhashed = ["/soft-and-unhashed"];
const all = [...hashed, ...unhashed, ...soft, ...softUnhashed];
const FILES = 3 * all.length;

let cluster: Cluster;
let before: Record<string, string>;

beforeAll(async () => {
  cluster = await startCluster();
  const valued = (keys: readonly (string | Uint8Array)[]) =>
    keys.map((key): [string | Uint8Array, Uint8Array] => [key, valueOf(named(key), 100)]);
  await storeAll(cluster, valued([...hashed, ...soft]));
  await cluster.startMaster(["-md5sum=false"]);
  await storeAll(cluster, valued([...unhashed, ...softUnhashed]));
  for (const key of [...soft, ...softUnhashed]) expect((await cluster.ask("UNLINK", targetOf(key))).status).toBe(204);
  expect(await cluster.master.stop()).toBe(0);
  before = await indexOf(cluster.db);
  expect(Object.keys(before).length).toBe(all.length);
});
afterAll(() => cluster[Symbol.asyncDispose]());

function expectRebuilt({ exitCode, stdout }: JobOutcome, db: string, counts: string): void {
  expect([exitCode, stdout]).toEqual([0, `rebuilt ${db}: ${counts}\n`]);
  expect(besides(db)).toEqual([]);
}

/** An index that is not there yet. */
function freshIndex(name: string): string {
  return join(cluster.db, "..", name);
}

const liveRecords = (keys: readonly (string | Uint8Array)[]) =>
  Object.fromEntries(keys.map((key) => [named(key), placedOn(key, { volumes: cluster.addresses }).join(",")]));

test("a rebuilt index equals the one that it replaces: what is unlinked, every hash, every odd key", async () => {
  expect(before[named("/soft/é")]).toStartWith(`DELETEDHASH${md5Hex(valueOf(named("/soft/é"), 100))}localhost:`);
  for (let i = 0; i < 2; i++) {
    const outcome = await runJob(cluster, "rebuild");
    expectRebuilt(outcome, cluster.db, `${all.length} keys in ${FILES} files; 0 files reported and not indexed`);
    expect(outcome.stderr).toBe("");
    expect(await indexOf(cluster.db)).toEqual(before);
  }
});

test("into a new index all keys come live, without hashes, their volumes in placement order", async () => {
  const db = freshIndex("fresh");
  const outcome = await runJob(cluster, "rebuild", { db });
  expectRebuilt(outcome, db, `${all.length} keys in ${FILES} files; 0 files reported and not indexed`);
  expect(await indexOf(db)).toEqual(liveRecords(all));
});

test.each([1, 2, 7])("%d threads share the folders out, and find every file once", async (threads) => {
  const db = freshIndex(`threads-${threads}`);
  const outcome = await runJob(cluster, "rebuild", { db, flags: ["-threads", String(threads)] });
  expectRebuilt(outcome, db, `${all.length} keys in ${FILES} files; 0 files reported and not indexed`);
  expect(await indexOf(db)).toEqual(liveRecords(all));
});

test("the volumes may be named in another order: the records are the same", async () => {
  const db = freshIndex("turned");
  const outcome = await runJob(cluster, "rebuild", { db, volumes: cluster.addresses.toReversed() });
  expectRebuilt(outcome, db, `${all.length} keys in ${FILES} files; 0 files reported and not indexed`);
  expect(await indexOf(db)).toEqual(liveRecords(all));
});

test("fewer replicas than there are copies: the volumes where the key belongs come first, all others after them", async () => {
  const db = freshIndex("fewer");
  const outcome = await runJob(cluster, "rebuild", { db, flags: ["-replicas", "1"] });
  expectRebuilt(outcome, db, `${all.length} keys in ${FILES} files; 0 files reported and not indexed`);
  for (const [key, record] of Object.entries(await indexOf(db))) {
    const placed = placedOn(Buffer.from(key, "latin1"), { volumes: cluster.addresses });
    expect([key, record.split(",")[0]]).toEqual([key, placed[0]!]);
    expect([key, record.split(",").sort()]).toEqual([key, placed.sort()]);
  }
});

test("copies that lie elsewhere are recorded after those that lie where the key belongs", async () => {
  await using other = await startCluster({ flags: ["-replicas", "2"] });
  const put = async (volume: string, path: string) => {
    const [, port, folder] = volume.match(/:(\d+)(\/.+)?$/)!;
    const { status } = await request(Number(port), { method: "PUT", target: (folder ?? "") + path, body: "stray" });
    expect(status).toBe(201);
  };
  const [first, , third] = placedOn("/half", { volumes: other.addresses });
  const elsewhere = [`${other.addresses[0]}/sv0E`, `${other.addresses[1]}/sv0F`, other.addresses[2]!];
  for (const volume of [third!, `${first!.split("/")[0]}/sv1F`, first!]) await put(volume, pathOf("/half"));
  for (const volume of elsewhere) await put(volume, pathOf("/gone/astray/é"));
  const written = Math.floor(Date.now() / 1000);
  for (const file of other.remains()) utimesSync(file, written, written); // Copies of one write have one date.
  await other.master.stop();
  const { last } = await runJob(other, "rebuild", { flags: ["-replicas", "2"] });
  expect(last).toEndWith(": 2 keys in 6 files; 0 files reported and not indexed");
  const { "/half": half, ...rest } = await indexOf(other.db);
  expect(half!.split(",")[0]).toBe(first!);
  expect(half!.split(",").slice(1).sort()).toEqual([third!, `${first!.split("/")[0]}/sv1F`].sort());
  expect(rest[named("/gone/astray/é")]!.split(",").sort()).toEqual(elsewhere.sort());
  await other.startMaster(["-replicas", "2"]);
  expect(await other.keys("list")).toEqual(["/gone/astray/é", "/half"]);
  expect((await other.ask("POST", "/half?rebalance")).status).toBe(204);
  expect((await other.ask("GET", "/half")).headers.get("key-balance")).toBe("balanced");
});

test.each([1, 300])("volumes with -subvolumes %d are rebuilt as they are", async (subvolumes) => {
  const flags = ["-replicas", "2", "-subvolumes", String(subvolumes)];
  await using other = await startCluster({ volumes: 2, flags });
  const keys = [...plainKeys("key", 12), ...oddKeys];
  for (const key of keys) await other.store(key as string, "x");
  await other.master.stop();
  const folders = other.remains().map((file) => file.split("/").find((name) => /^sv/.test(name))?.length);
  expect(Math.max(...folders.map((length) => length ?? 0))).toBe(subvolumes === 1 ? 0 : "sv100".length);
  const written = await indexOf(other.db);
  const { last } = await runJob(other, "rebuild", { flags });
  expect(last).toEndWith(`: ${keys.length} keys in ${2 * keys.length} files; 0 files reported and not indexed`);
  expect(await indexOf(other.db)).toEqual(written);
  const db = `${other.db}-fresh`;
  await runJob(other, "rebuild", { flags, db });
  const stripped = Object.entries(written).map(([key, record]) => [key, record.replace(/^HASH.{32}/, "")]);
  expect(await indexOf(db)).toEqual(Object.fromEntries(stripped));
});

test("volumes that are folders of their servers are rebuilt, and their keys can move to other folders", async () => {
  await using other = await startCluster({ volumes: 2, flags: ["-replicas", "2"] });
  const flags = ["-replicas", "2"];
  const [volumes, root] = [other.addresses.map((address) => `${address}/disks/a-1`), other.addresses];
  await other.startMaster(flags, volumes);
  const keys = [...plainKeys("key", 10), ...oddKeys];
  for (const key of keys) await other.store(key as string, "x");
  await other.master.stop();
  const db = `${other.db}-fresh`;
  expect((await runJob(other, "rebuild", { db, volumes, flags })).exitCode).toBe(0);
  const placed = keys.map((key) => [named(key), placedOn(key, { volumes, replicas: 2 }).join(",")]);
  expect(await indexOf(db)).toEqual(Object.fromEntries(placed));
  expect((await runJob(other, "rebalance", { volumes: root, flags })).last).toContain(`: ${keys.length} moved`);
  expect((await runJob(other, "verify", { volumes: root, flags: [...flags, "-md5"] })).exitCode).toBe(0);
  expect((await runJob(other, "rebuild", { db, volumes, flags })).last).toContain(": 0 keys in 0 files;");
});
