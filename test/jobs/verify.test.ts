// Verify finds each kind of damage, names and counts it; with -repair it heals what has a good copy.
import { afterAll, afterEach, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { startCluster, type Cluster } from "../support/cluster";
import { copiesOf, homeOf } from "../support/copies";
import { writeRecords } from "../support/records";
import { md5Hex, valueOf } from "../support/values";
import { damage, fileOf, mend, type Damage } from "./damage";
import { indexOf, runJob, shelf, shelfOf, storeAll, type Stored } from "./job";
import { plainKeys } from "./keys";
import { countsOf, type Finding } from "./verified";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const live = [...plainKeys("key", 20), "/ünï/é"];
const unlinked = ["/soft", "/soft/é"];
const unhashed = ["/unhashed"];
const total = live.length + unlinked.length + unhashed.length;
let cluster: Cluster;
let index: Record<string, string>;
let stored: Map<string | Uint8Array, Stored>;

beforeAll(async () => {
  cluster = await startCluster({ volumes: 4 });
  stored = await storeAll(
    cluster,
    [...live, ...unlinked].map((key) => [key, valueOf(key, 1_000)]),
  );
  for (const key of unlinked) expect((await cluster.ask("UNLINK", encodeURI(key))).status).toBe(204);
  await cluster.startMaster(["-md5sum=false"]);
  for (const [key, value] of await storeAll(
    cluster,
    unhashed.map((key) => [key, valueOf(key)]),
  ))
    stored.set(key, value);
  await cluster.master.stop();
  index = await indexOf(cluster.db);
});
afterEach(() => {
  for (const [key, { value, mtimeMs }] of stored) mend(cluster, String(key), value, mtimeMs);
});
afterAll(() => cluster[Symbol.asyncDispose]());

const everything = { keys: total, files: 3 * total };

/** Nothing is found, and the exit code is 0. */
async function expectClean(flags: string[] = []): Promise<void> {
  const { exitCode, stderr, last } = await runJob(cluster, "verify", { flags });
  expect([exitCode, stderr, countsOf(last)]).toEqual([0, "", countsOf(everything)]);
}

/** What is found is named, line by line, counted, and nothing is changed. */
async function expectFound(flags: string[], counts: Partial<Record<Finding, number>>, lines: RegExp[]): Promise<void> {
  const before = [shelf(cluster), await indexOf(cluster.db)];
  const { exitCode, stderr, last } = await runJob(cluster, "verify", { flags });
  expect([exitCode, countsOf(last)]).toEqual([1, countsOf({ ...everything, ...counts })]);
  const said = stderr.trimEnd().split("\n");
  const problems = Object.entries(counts).reduce(
    (sum, [name, count]) => (name === "files" || name === "keys" ? sum : sum + count),
    0,
  );
  expect(said.pop()).toMatch(new RegExp(`^mkv: ${problems} problems? (is|are) left: .*-repair`));
  expect(said.length).toBe(lines.length);
  for (const [i, line] of said.toSorted().entries()) expect(line).toMatch(lines[i]!);
  expect([shelf(cluster), await indexOf(cluster.db)]).toEqual(before);
}

/** All copies, records and times are as they were before anything was damaged. */
async function expectHealed(): Promise<void> {
  expect(shelf(cluster)).toEqual(shelfOf(stored, { volumes: cluster.addresses }));
  expect(await indexOf(cluster.db)).toEqual(index);
}

const one: [damage: Damage, flags: string[], kind: Finding, says: string][] = [
  ["missing", [], "missing", "has no copy"],
  ["emptied", [], "damaged", "empty copy"],
  ["shortened", [], "damaged", "copy of (length|MD5)"],
  ["lengthened", [], "damaged", "copy of (length|MD5)"],
  ["flipped", ["-md5"], "damaged", "MD5"],
  ["shortened", ["-md5"], "damaged", "MD5"],
];
const keysOf = (how: Damage, i: number) => {
  if (how === "flipped") return ["/key-0", "/ünï/é", "/soft", "/unhashed"];
  return i % 2 === 0 ? ["/key-0", "/soft"] : ["/ünï/é", "/unhashed"];
};
const cases = one.flatMap((row, i) => keysOf(row[0], i).map((key) => [key, ...row] as const));

test.each(cases.map((row, i) => [`${row[1]}${row[2].length ? ", -md5" : ""}`, row[0], i, row] as const))(
  "%s: a copy of %s is found, named and healed",
  async (_, key, i, [, how, flags, kind, says]) => {
    const volume = homeOf(cluster, key)[i % 3]!;
    damage(fileOf(cluster, key, volume), how);
    const files = how === "missing" ? everything.files - 1 : everything.files;
    const line = new RegExp(`^"${key}": .*${volume}.*${says}`);
    await expectFound(flags, { [kind]: 1, files }, [line]);
    const { exitCode, last } = await runJob(cluster, "verify", { flags: [...flags, "-repair"] });
    expect([exitCode, countsOf(last)]).toEqual([0, countsOf({ ...everything, [kind]: 1, repaired: 1 })]);
    await expectHealed();
  },
);

test("a flipped bit is found by -md5 alone", async () => {
  const file = fileOf(cluster, "/key-1", homeOf(cluster, "/key-1")[0]!);
  damage(file, "flipped");
  await expectClean();
  damage(file, "flipped"); // The same bit once more.
  await expectHealed();
  await expectClean(["-md5"]);
});

test("copies that agree outvote the record: -md5 -repair corrects its hash", async () => {
  for (const key of ["/key-2", "/soft"]) {
    const wrong = index[key]!.replace(/HASH.{32}/, `HASH${md5Hex("another value")}`);
    await writeRecords(cluster.db, [[key, wrong]]);
    await expectClean();
    const says = `its record has MD5 ${md5Hex("another value")}, its copies agree in ${md5Hex(valueOf(key, 1_000))}`;
    await expectFound(["-md5"], { damaged: 1 }, [new RegExp(`^"${key}": ${says}$`)]);
    const { exitCode, last } = await runJob(cluster, "verify", { flags: ["-md5", "-repair"] });
    expect([exitCode, countsOf(last)]).toEqual([0, countsOf({ ...everything, damaged: 1, repaired: 1 })]);
    await expectHealed();
  }
});

test("two copies that agree correct the record, and the third; one alone corrects nothing", async () => {
  const key = "/key-2";
  const file = (i: number) => fileOf(cluster, key, homeOf(cluster, key)[i]!);
  await writeRecords(cluster.db, [[key, index[key]!.replace(/HASH.{32}/, `HASH${md5Hex("another value")}`)]]);
  damage(file(1), "flipped");
  const { exitCode, last } = await runJob(cluster, "verify", { flags: ["-md5", "-repair"] });
  expect([exitCode, countsOf(last)]).toEqual([0, countsOf({ ...everything, damaged: 2, repaired: 2 })]);
  await expectHealed();
  for (const i of [0, 1]) writeFileSync(file(i), "agreed, but not what was recorded");
  expect((await runJob(cluster, "verify", { flags: ["-md5", "-repair"] })).exitCode).toBe(0);
  await expectHealed();
});

test("two of three copies gone, each in another way: both are counted, both are healed", async () => {
  const [first, second, third] = homeOf(cluster, "/soft/é");
  damage(fileOf(cluster, "/soft/é", first!), "emptied");
  damage(fileOf(cluster, "/soft/é", third!), "missing");
  const named = [new RegExp(`^"/soft/é": ${first}.*empty`), new RegExp(`^"/soft/é": ${third}.*no copy`)];
  const lines = first! < third! ? named : named.toReversed();
  await expectFound([], { damaged: 1, missing: 1, files: everything.files - 1 }, lines);
  const { exitCode, last } = await runJob(cluster, "verify", { flags: ["-repair"] });
  expect([exitCode, countsOf(last).repaired, copiesOf(cluster, "/soft/é")[second!]]).toEqual([
    0,
    2,
    expect.any(String),
  ]);
  await expectHealed();
});

test("a key on other volumes than its own is found, named, and moved with its times", async () => {
  const volumes = cluster.addresses.slice(0, 3);
  const away = [...stored.keys()].filter((key) =>
    homeOf(cluster, String(key)).some((volume) => volume.startsWith(cluster.addresses[3]!)),
  );
  const { exitCode, last, stderr } = await runJob(cluster, "verify", { volumes });
  expect([exitCode, countsOf(last).misplaced]).toEqual([1, away.length]);
  for (const key of away)
    expect(stderr).toContain(`"${key}": is on ${homeOf(cluster, String(key)).join(",")}, not where it belongs`);
  const repaired = await runJob(cluster, "verify", { volumes, flags: ["-repair"] });
  expect([repaired.exitCode, countsOf(repaired.last).repaired]).toEqual([0, away.length]);
  expect(shelf(cluster)).toEqual(shelfOf(stored, { volumes }));
  expect((await runJob(cluster, "verify", { volumes, flags: ["-md5"] })).exitCode).toBe(0);
  expect((await runJob(cluster, "verify", { flags: ["-repair"] })).exitCode).toBe(0);
  await expectHealed();
});

test("what no volume has of an unlinked key is forgotten", async () => {
  for (const volume of homeOf(cluster, "/soft")) damage(fileOf(cluster, "/soft", volume), "missing");
  await expectFound([], { unfinished: 1, files: everything.files - 3 }, [/^"\/soft": .*unfinished/]);
  const { exitCode, last } = await runJob(cluster, "verify", { flags: ["-repair"] });
  expect([exitCode, countsOf(last)]).toEqual([
    0,
    countsOf({ ...everything, files: everything.files - 3, unfinished: 1, repaired: 1 }),
  ]);
  delete index["/soft"];
  stored.delete("/soft");
  await expectHealed();
});
