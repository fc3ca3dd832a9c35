// Copies of one key that are not of one write are never taken for one value: a rebuild indexes one write, and names the rest.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, copyFileSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeEpoch, readEpoch } from "../../src/format/epoch";
import { startCluster, type Cluster } from "../support/cluster";
import { homeOf, indexOf as volumeIndexOf } from "../support/copies";
import { pathOf } from "../support/placement";
import { writeRecords } from "../support/records";
import { md5Hex } from "../support/values";
import { plant } from "./damage";
import { indexOf, runJob } from "./job";

setDefaultTimeout(60_000);
const key = "/ünï/é";
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster();
  await cluster.master.stop();
});
afterAll(() => cluster[Symbol.asyncDispose]());

type Copy = [content: string, second: number, mode?: number];
const [old, young, long]: [Copy, Copy, Copy] = [
  ["value", 1_600_000_000],
  ["VALUE", 1_600_000_001],
  ["a longer value", 1_600_000_000],
];

/** What a power cut leaves of one that was not on its disk yet. */
const zeros: Copy = ["\0\0\0\0\0", old[1]];

/** One that nginx is not let read. */
const locked: Copy = [old[0], old[1], 0];

/** The copies of the volumes where the key belongs, in the order of placement, and which of them are indexed. */
const cases: [what: string, copies: Copy[], indexed: number[]][] = [
  ["three of one write", [old, old, old], [0, 1, 2]],
  ["two agree, the third is younger", [old, young, old], [0, 2]],
  ["two agree, the third is older", [young, young, old], [0, 1]],
  ["two agree, the third is longer", [long, old, old], [1, 2]],
  ["two of one second, and one longer and younger", [old, old, ["a longer value", 1_600_000_009]], [0, 1]],
  ["two, one is younger", [old, young], [1]],
  ["two, the shorter one is younger", [young, long], [0]],
  ["two of one second, one is longer", [old, long], [1]],
  ["three of three writes", [long, young, old], [1]],
  ["three of three times, of the same bytes", [old, ["value", 1_600_000_009], ["value", 1_500_000_000]], [0, 1, 2]],
  ["two of two times, of the same bytes, and a younger one", [old, ["value", 1_500_000_000], young], [0, 1]],
];

/** Puts them there, until this is disposed of. */
function plantCopies(key: string, copies: readonly Copy[]): DisposableStack {
  const planted = new DisposableStack();
  const home = homeOf(cluster, key);
  for (const [i, [content, second, mode = 0o644]] of copies.entries()) {
    const volume = cluster.volumes[volumeIndexOf(cluster, home[i]!)]!;
    const { file } = planted.use(plant(volume, `${home[i]!.split("/")[1]}${pathOf(key)}`, content));
    utimesSync(file, second, second);
    chmodSync(file, mode);
  }
  return planted;
}

async function rebuildOf(db: string, copies: Copy[], flags: string[] = []) {
  using _planted = plantCopies(key, copies);
  const home = homeOf(cluster, key);
  const { exitCode, last, stderr } = await runJob(cluster, "rebuild", { db, flags });
  const named = stderr
    .trimEnd()
    .split("\n")
    .filter((line) => /: differs from the other copies, not indexed$/.test(line))
    .map((line) => home.findIndex((volume) => line.startsWith(volume + pathOf(key))));
  const record = (await indexOf(db))[Buffer.from(key).toString("latin1")];
  return {
    exitCode,
    last,
    named: named.sort(),
    indexed: record
      ?.replace(/^HASH.{32}/, "")
      .split(",")
      .map((volume) => home.indexOf(volume)),
  };
}

test.each(cases)("%s: one write is indexed, the others are named and counted", async (_, copies, indexed) => {
  const db = `${cluster.db}-new`;
  rmSync(db, { recursive: true, force: true });
  const others = copies.map((_, i) => i).filter((i) => !indexed.includes(i));
  const inFiles = ({ length }: readonly number[]) => (length === 1 ? "1 file" : `${length} files`);
  expect(await rebuildOf(db, copies)).toEqual({
    exitCode: 0,
    last: `rebuilt ${db}: 1 key in ${inFiles(indexed)}; ${inFiles(others)} reported and not indexed`,
    named: others,
    indexed,
  });
});

/** An index of this store, as a master has left it but for its records. */
async function writeIndex(db: string, ...records: [key: string, record: string][]): Promise<void> {
  rmSync(db, { recursive: true, force: true });
  await writeRecords(db, records);
  copyFileSync(join(cluster.db, "EPOCH"), join(db, "EPOCH"));
}

test("the copies that the old index names go before others, even if those are more, and younger", async () => {
  const db = `${cluster.db}-old`;
  await writeIndex(db, [key, homeOf(cluster, key)[0]!]);
  expect(await rebuildOf(db, [old, young, young])).toMatchObject({ exitCode: 0, named: [1, 2], indexed: [0] });
});

test.each([
  ["a hash", `HASH${md5Hex(old[0])}`, [0, 2]],
  ["none", "", [0, 1, 2]],
])(
  "more copies of one write than there should be are read, where the old index does not name them all: with %s",
  async (_, hash, indexed) => {
    const db = `${cluster.db}-named`;
    const home = homeOf(cluster, key);
    await writeIndex(db, [key, `${hash}${home[0]},${home[2]}`]);
    const { exitCode, ...found } = await rebuildOf(db, [old, zeros, old], ["-replicas", "2"]);
    const others = [0, 1, 2].filter((i) => !indexed.includes(i));
    expect([exitCode, found.indexed?.toSorted(), found.named]).toEqual([0, indexed, others]);
  },
);

/** What is unlinked in an older index, its copies, the value whose hash is known there, and whether that is what they are. */
const unlinked: [key: string, copies: Copy[], recorded: string, isKept: boolean][] = [
  ["/one-is-zeros", [zeros, old, old], "value", true],
  ["/one-is-zeros-of-another", [zeros, old, old], "other", false],
  ["/one-is-locked", [locked, old, old], "value", true],
  ["/one-is-locked-of-another", [locked, old, old], "other", false],
];

test("of an index that is older, what it says counts of values of which a copy that can be read has its hash", async () => {
  const db = `${cluster.db}-older`;
  using planted = new DisposableStack();
  for (const [key, copies] of unlinked) planted.use(plantCopies(key, copies));
  const recordOf = (key: string, recorded: string) => `DELETEDHASH${md5Hex(recorded)}${homeOf(cluster, key)}`;
  await writeIndex(db, ...unlinked.map(([key, , recorded]): [string, string] => [key, recordOf(key, recorded)]));
  const { store } = readEpoch(readFileSync(join(db, "EPOCH"), "utf8"))!;
  writeFileSync(join(db, "EPOCH"), encodeEpoch({ store, count: 0 }));
  const { exitCode, stderr } = await runJob(cluster, "rebuild", { db });
  const after = unlinked.map(([key, , recorded, isKept]) => [
    key,
    isKept ? recordOf(key, recorded) : homeOf(cluster, key).join(","),
  ]);
  expect([exitCode, await indexOf(db)]).toEqual([0, Object.fromEntries(after)]);
  const said = `"/one-is-locked-of-another": a copy cannot be read: if it is of what was unlinked, UNLINK it again`;
  expect(stderr.split("\n").filter((line) => line.includes("cannot be read"))).toEqual([said]);
});

test.each([
  ["the value before a replacement, put back later", [old, young], [0]],
  ["the same bytes, put back later", [old, [old[0], young[1]]], [0, 1]],
] as [string, Copy[], number[]][])(
  "of two copies that the old index names, its hash tells: %s",
  async (_, copies, indexed) => {
    const db = `${cluster.db}-hash`;
    const [one, other] = homeOf(cluster, key);
    await writeIndex(db, [key, `HASH${md5Hex(old[0])}${one},${other}`]);
    expect(await rebuildOf(db, copies)).toMatchObject({
      exitCode: 0,
      named: [0, 1].filter((i) => !indexed.includes(i)),
      last: expect.stringMatching(`1 key in ${indexed.length} file`),
    });
    expect((await indexOf(db))[Buffer.from(key).toString("latin1")]).toBe(
      `HASH${md5Hex(old[0])}${indexed.map((i) => homeOf(cluster, key)[i])}`,
    );
  },
);
