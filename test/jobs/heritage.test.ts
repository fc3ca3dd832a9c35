// Jobs over a cluster that the Go program has left.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Cluster } from "../support/cluster";
import { keys, startLeftByGo } from "../support/left-by-go";
import { pathOf, placedOn } from "../support/placement";
import { indexOf, named, runJob, shelf, shelfOf, type Stored } from "./job";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const COPIES = 60 * 2 + 60 * 3;

let cluster: Cluster;
let left: Record<string, string>;
const stored = new Map<string, Stored>();

beforeAll(async () => {
  cluster = await startLeftByGo();
  left = await indexOf(cluster.db);
  for (const [i, key] of keys.entries()) {
    const [file] = cluster.filesOf(pathOf(key));
    stored.set(key, { value: Buffer.from(key.repeat(i + 1)), mtimeMs: file!.mtimeMs });
  }
});
afterAll(() => cluster?.[Symbol.asyncDispose]());

/** A record with its volumes in the order of the alphabet. */
function unordered(record: string): string {
  const [, head = "", volumes = ""] = record.match(/^((?:DELETED)?(?:HASH.{32})?)(.*)$/)!;
  return head + volumes.split(",").sort().join(",");
}

const unorderedIndex = (index: Record<string, string>) =>
  Object.fromEntries(Object.entries(index).map(([key, record]) => [key, unordered(record)]));

test("a new index of the Go program's volumes has all of their keys, those in folders of their own too", async () => {
  const db = `${cluster.db}-fresh`;
  const { exitCode, last } = await runJob(cluster, "rebuild", { db });
  expect([exitCode, last]).toEqual([0, `rebuilt ${db}: 120 keys in ${COPIES} files; 0 files reported and not indexed`]);
  const bare = Object.entries(left).map(([key, record]) => [key, record.replace(/^(DELETED)?(HASH.{32})?/, "")]);
  expect(unorderedIndex(await indexOf(db))).toEqual(unorderedIndex(Object.fromEntries(bare)));
});

test("an index of the Go program rebuilt keeps what is unlinked, and the hashes", async () => {
  const { exitCode } = await runJob(cluster, "rebuild");
  expect(exitCode).toBe(0);
  expect(unorderedIndex(await indexOf(cluster.db))).toEqual(unorderedIndex(left));
});

test("rebalance brings the Go program's values to three replicas where they belong, and verify finds nothing wrong", async () => {
  const { exitCode, last } = await runJob(cluster, "rebalance");
  expect([exitCode, last]).toEqual([
    0,
    expect.stringMatching(/^rebalanced 120 keys: \d+ moved, \d+ in place, 0 failed$/),
  ]);
  expect(shelf(cluster)).toEqual(shelfOf(stored, { volumes: cluster.addresses }));
  const home = keys.map((key): [string, string] => {
    const [head] = left[named(key)]!.match(/^(DELETED)?(HASH.{32})?/)!;
    return [named(key), head + placedOn(key, { volumes: cluster.addresses }).join(",")];
  });
  expect(await indexOf(cluster.db)).toEqual(Object.fromEntries(home.sort()));
  const verified = await runJob(cluster, "verify", { flags: ["-md5"] });
  expect([verified.exitCode, verified.last]).toEqual([
    0,
    "verified 120 keys and 360 files: 0 missing, 0 damaged, 0 unknown, 0 misplaced, 0 unfinished, 0 orphans; 0 repaired",
  ]);
});
