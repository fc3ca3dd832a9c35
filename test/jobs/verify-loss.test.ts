// What verify can not heal, or must not touch: it says so, and nothing of it is lost.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, statSync, truncateSync } from "node:fs";
import { startCluster, type Cluster } from "../support/cluster";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { follow } from "../support/http";
import { pathOf } from "../support/placement";
import { valueOf } from "../support/values";
import { age, damage, fileOf, mend, plant, type Planted } from "./damage";
import { indexOf, runJob, shelf } from "./job";
import { plainKeys } from "./keys";
import { seenAsOrphan } from "./remembered";
import { countsOf } from "./verified";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const keys = plainKeys("key", 12);
const everything = { keys: 12, files: 36 };
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster({ volumes: 4 });
  for (const key of keys) await cluster.store(key, valueOf(key));
  await cluster.master.stop();
});
afterAll(() => cluster[Symbol.asyncDispose]());

/** A file of no record, on the first volume, which mkv has known for so long. */
async function plantOrphan(path: string, hours: number, content: string | Uint8Array = "orphan"): Promise<Planted> {
  const planted = plant(cluster.volumes[0]!, path, content);
  await seenAsOrphan(cluster.db, `${cluster.addresses[0]!}/${path}`, hours);
  return planted;
}

test("an orphan that was found less than an hour ago is reported, and never removed, however old the file is", async () => {
  using planted = await plantOrphan(`sv00${pathOf("/young/é")}`, 0.9);
  age(planted.file, 48);
  for (const flags of [[], ["-orphans"], ["-orphans", "-repair", "-md5"]]) {
    const { exitCode, last, stderr } = await runJob(cluster, "verify", { flags });
    expect([exitCode, countsOf(last)]).toEqual([1, countsOf({ ...everything, files: 37, orphans: 1 })]);
    expect(stderr).toStartWith(`${cluster.addresses[0]}/sv00${pathOf("/young/é")}: is in no record`);
    expect(existsSync(planted.file)).toBe(true);
  }
});

test("an orphan that nobody has seen before is one from now on", async () => {
  using planted = plant(cluster.volumes[0]!, `sv00${pathOf("/new")}`, "orphan");
  age(planted.file, 48);
  for (let i = 0; i < 2; i++) expect((await runJob(cluster, "verify", { flags: ["-orphans"] })).exitCode).toBe(1);
  expect(existsSync(planted.file)).toBe(true);
});

test("an orphan known for more than an hour is reported, and removed by -orphans alone", async () => {
  using planted = await plantOrphan(`sv05${pathOf("/old")}`, 1.1);
  for (const flags of [[], ["-repair"]]) {
    const { exitCode, last, stderr } = await runJob(cluster, "verify", { flags });
    expect([exitCode, countsOf(last)]).toEqual([1, countsOf({ ...everything, files: 37, orphans: 1 })]);
    expect(stderr).toStartWith(`${cluster.addresses[0]}/sv05${pathOf("/old")}: is in no record`);
    expect(existsSync(planted.file)).toBe(true);
  }
  const { exitCode, last } = await runJob(cluster, "verify", { flags: ["-orphans"] });
  expect([exitCode, countsOf(last)]).toEqual([0, countsOf({ ...everything, files: 37, orphans: 1, repaired: 1 })]);
  expect(existsSync(planted.file)).toBe(false);
  expect((await runJob(cluster, "verify")).exitCode).toBe(0);
});

test("another copy of a live key, on a volume that its record does not name, is an orphan: the recorded ones stay", async () => {
  using planted = await plantOrphan(`sv1F${pathOf(keys[0]!)}`, 2, valueOf(keys[0]!));
  const { exitCode, last } = await runJob(cluster, "verify", { flags: ["-orphans"] });
  expect([exitCode, countsOf(last)]).toEqual([0, countsOf({ ...everything, files: 37, orphans: 1, repaired: 1 })]);
  expect(existsSync(planted.file)).toBe(false);
  expect(copiesOf(cluster, keys[0]!)).toEqual(copiesOn(homeOf(cluster, keys[0]!), valueOf(keys[0]!)));
});

test("a longer file of a live key goes when its copies have been read; it is what they come from where all are cut off", async () => {
  const [key] = keys;
  const [value, home] = [valueOf(key!), homeOf(cluster, key!)];
  const mtimeMs = statSync(fileOf(cluster, key!, home[0]!)).mtimeMs;
  using other = await plantOrphan(`sv1F${pathOf(key!)}`, 2, Buffer.concat([value, value]));
  expect((await runJob(cluster, "verify", { flags: ["-orphans"] })).exitCode).toBe(0);
  expect(existsSync(other.file)).toBe(false);
  using _whole = await plantOrphan(`sv1F${pathOf(key!)}`, 2, value);
  for (const volume of home) truncateSync(fileOf(cluster, key!, volume), value.length - 1);
  try {
    const { exitCode, last } = await runJob(cluster, "verify", { flags: ["-orphans", "-repair"] });
    expect([exitCode, last]).toEqual([0, expect.stringMatching(/1 orphans; 1 repaired$/)]);
    expect(copiesOf(cluster, key!)).toMatchObject(copiesOn(home, value));
  } finally {
    mend(cluster, key!, value, mtimeMs);
  }
});

test("a file that is no value of any key is reported, and never removed", async () => {
  using planted = await plantOrphan("sv00/00/00/notes.txt", 48);
  const { exitCode, last, stderr } = await runJob(cluster, "verify", { flags: ["-orphans", "-repair"] });
  expect([exitCode, countsOf(last)]).toEqual([1, countsOf({ ...everything, files: 37, orphans: 1 })]);
  expect(stderr).toStartWith(`${cluster.addresses[0]}/sv00/00/00/notes.txt: is not where its name belongs`);
  expect(readFileSync(planted.file, "utf8")).toBe("orphan");
});

test("a volume that is down: its copies are unknown, nothing is repaired with guesses, exit code 1", async () => {
  const down = cluster.volumes[1]!;
  const copies = keys.filter((key) => homeOf(cluster, key).some((volume) => volume.startsWith(down.address)));
  const before = [shelf(cluster), await indexOf(cluster.db)];
  await down.kill();
  for (const flags of [[], ["-repair", "-md5"]]) {
    const { exitCode, last, stderr } = await runJob(cluster, "verify", { flags: ["-voltimeout", "500ms", ...flags] });
    expect([exitCode, stderr.includes(down.address)]).toEqual([1, true]);
    expect(countsOf(last)).toMatchObject({ keys: keys.length, missing: 0, damaged: 0, orphans: 0, repaired: 0 });
    expect(countsOf(last).unknown).toBeGreaterThanOrEqual(copies.length);
  }
  await down.restart();
  expect([shelf(cluster), await indexOf(cluster.db)]).toEqual(before);
  expect((await runJob(cluster, "verify", { flags: ["-md5"] })).exitCode).toBe(0);
});

test("all copies of a value damaged: they are set aside for whoever may mend them, and the key is gone: 410", async () => {
  const key = keys[3]!;
  const home = homeOf(cluster, key);
  for (const volume of home) damage(fileOf(cluster, key, volume), "flipped");
  const damagedCopies = home.map((volume) => readFileSync(fileOf(cluster, key, volume)));
  const first = await runJob(cluster, "verify", { flags: ["-md5", "-repair"] });
  expect([first.exitCode, countsOf(first.last)]).toEqual([1, countsOf({ ...everything, files: 33, damaged: 3 })]);
  expect(first.stderr).toContain(`"${key}": not repaired: `);
  expect(first.stderr).toContain(`/damaged${pathOf(key)}`);
  const aside = home.map((volume) => fileOf(cluster, key, volume).replace(pathOf(key), `/damaged${pathOf(key)}`));
  expect(aside.map((file) => readFileSync(file))).toEqual(damagedCopies);
  expect(copiesOf(cluster, key)).toEqual({});

  const second = await runJob(cluster, "verify", { flags: ["-md5", "-repair"] });
  expect([second.exitCode, countsOf(second.last)]).toEqual([1, countsOf({ ...everything, files: 33, missing: 3 })]);
  await cluster.startMaster();
  expect((await cluster.ask("GET", key)).status).toBe(410);
  expect((await cluster.ask("DELETE", key)).status).toBe(204);
  await cluster.store(key, valueOf("new"));
  expect((await follow(await cluster.ask("GET", key))).body.equals(valueOf("new"))).toBe(true);
  await cluster.master.stop();
  expect((await runJob(cluster, "verify", { flags: ["-md5"] })).exitCode).toBe(0);
  expect(aside.map((file) => readFileSync(file))).toEqual(damagedCopies);
});

test("without -md5 nothing is set aside, even if no copy is as it should be", async () => {
  const key = keys[4]!;
  for (const [i, volume] of homeOf(cluster, key).entries())
    damage(fileOf(cluster, key, volume), i === 0 ? "lengthened" : "shortened");
  const before = copiesOf(cluster, key);
  const { exitCode, stderr } = await runJob(cluster, "verify", { flags: ["-repair"] });
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining(`"${key}": not repaired: `)]);
  expect(copiesOf(cluster, key)).toEqual(before);
});
