// Copies are damaged when their keys move: from three volumes to four, so that each loses its last volume to a new one.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { copiesOf, copiesOn } from "../support/copies";
import { placedOn } from "../support/placement";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";
import { damage, fileOf, type Damage } from "./damage";
import { indexOf, runJob, type JobOutcome } from "./job";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();

interface Case {
  what: string;
  /** What becomes of the copies, in the order of the record. The last of the three is the one that leaves. */
  copies: [Damage | "good", Damage | "good", Damage | "good"];
  hash?: false;
  unlinked?: true;
}

const healed: Case[] = [
  { what: "no damage", copies: ["good", "good", "good"] },
  { what: "the first copy of the record flipped", copies: ["flipped", "good", "good"] },
  { what: "one flipped that stays", copies: ["good", "flipped", "good"] },
  { what: "the leaving one flipped", copies: ["good", "good", "flipped"] },
  { what: "both that stay flipped", copies: ["flipped", "flipped", "good"] },
  { what: "only the first good", copies: ["good", "flipped", "flipped"] },
  { what: "only the second good", copies: ["flipped", "good", "flipped"] },
  { what: "both that stay flipped, of an unlinked key", copies: ["flipped", "flipped", "good"], unlinked: true },
  { what: "the first shortened", copies: ["shortened", "good", "good"] },
  { what: "both that stay shortened", copies: ["shortened", "shortened", "good"] },
  { what: "two shortened, the good one stays", copies: ["shortened", "good", "shortened"] },
  { what: "only the first whole", copies: ["good", "shortened", "shortened"] },
  { what: "only the first not lengthened", copies: ["good", "lengthened", "lengthened"] },
  { what: "only the second not lengthened", copies: ["lengthened", "good", "lengthened"] },
  { what: "both that stay lengthened", copies: ["lengthened", "lengthened", "good"] },
  { what: "each damaged in its way but one", copies: ["lengthened", "shortened", "good"] },
  { what: "one emptied, one flipped", copies: ["emptied", "flipped", "good"] },
  { what: "two missing", copies: ["missing", "missing", "good"] },
  { what: "two missing, of an unlinked key", copies: ["missing", "missing", "good"], unlinked: true },
  { what: "two emptied", copies: ["emptied", "good", "emptied"] },
  { what: "the first shortened, no hash", copies: ["shortened", "good", "good"], hash: false },
  { what: "the second shortened, no hash", copies: ["good", "shortened", "good"], hash: false },
  { what: "the leaving one shortened, no hash", copies: ["good", "good", "shortened"], hash: false },
  { what: "the first lengthened, no hash", copies: ["lengthened", "good", "good"], hash: false },
  { what: "one shortened, one missing, no hash", copies: ["shortened", "missing", "good"], hash: false },
  {
    what: "one emptied, one missing, no hash, unlinked",
    copies: ["emptied", "missing", "good"],
    hash: false,
    unlinked: true,
  },
];
const lost: Case[] = [
  { what: "all flipped", copies: ["flipped", "flipped", "flipped"] },
  { what: "all shortened", copies: ["shortened", "shortened", "shortened"] },
  { what: "each damaged in another way", copies: ["flipped", "shortened", "lengthened"] },
  { what: "all flipped, of an unlinked key", copies: ["flipped", "flipped", "flipped"], unlinked: true },
  { what: "one left, and that flipped", copies: ["missing", "emptied", "flipped"] },
  { what: "one left, on a volume that stays, and that flipped", copies: ["flipped", "missing", "missing"] },
  { what: "all missing", copies: ["missing", "missing", "missing"] },
];
const all = [...healed, ...lost];

let cluster: Cluster;
let outcome: JobOutcome;
const before = new Map<Case, Record<string, string>>();
let index: Record<string, string>;
const keys = new Map<Case, string>();

const placedThen = (key: string) => placedOn(key, { volumes: cluster.addresses.slice(0, 3) });
const placedNow = (key: string) => placedOn(key, { volumes: cluster.addresses });

/** A key of which the fourth volume is to get a copy, one for each number. */
function keyThatMoves(number: number): string {
  for (let i = 0; ; i++) {
    const key = `/case-${number}/${i}`;
    if (placedNow(key).some((volume) => volume.startsWith(cluster.addresses[3]!))) return key;
  }
}

beforeAll(async () => {
  cluster = await startCluster({ volumes: 4 });
  const then = cluster.addresses.slice(0, 3);
  for (const [number, item] of all.entries()) keys.set(item, keyThatMoves(number));
  for (const hash of [undefined, false] as const) {
    await cluster.startMaster([`-md5sum=${hash ?? true}`], then);
    for (const item of all.filter((item) => item.hash === hash)) {
      await cluster.store(keys.get(item)!, valueOf(keys.get(item)!));
      if (item.unlinked) expect((await cluster.ask("UNLINK", keys.get(item)!)).status).toBe(204);
    }
  }
  await cluster.master.stop();
  for (const [item, key] of keys) {
    for (const [i, volume] of placedThen(key).entries()) {
      const how = item.copies[i]!;
      if (how !== "good") damage(fileOf(cluster, key, volume), how);
    }
    before.set(item, copiesOf(cluster, key));
  }
  index = await indexOf(cluster.db);
  outcome = await runJob(cluster, "rebalance");
});
afterAll(() => cluster[Symbol.asyncDispose]());

test.each(healed.map((item) => [item.what, item] as const))(
  "%s: the good value moves, nothing else does",
  async (_, item) => {
    const key = keys.get(item)!;
    const good = md5Hex(valueOf(key));
    const copies = copiesOf(cluster, key);
    expect(Object.keys(copies).sort()).toEqual(placedNow(key).sort());
    const then = placedThen(key);
    for (const [volume, md5] of Object.entries(copies)) {
      const mayBeUnread = item.copies[then.indexOf(volume)] === "flipped" && md5 === before.get(item)![volume];
      if (!mayBeUnread) expect([volume, md5]).toEqual([volume, good]);
    }
    // Of the two volumes that stay, at least one holds the good value now, and the new one does.
    expect(Object.values(copies).filter((md5) => md5 === good).length).toBeGreaterThanOrEqual(2);
    const record = `${item.unlinked ? "DELETED" : ""}${item.hash === false ? "" : `HASH${good}`}${placedNow(key).join(",")}`;
    expect((await indexOf(cluster.db))[key]).toBe(record);
  },
);

test.each(lost.map((item) => [item.what, item] as const))("%s: nothing is removed, and it is told", async (_, item) => {
  const key = keys.get(item)!;
  expect(copiesOf(cluster, key)).toEqual(before.get(item)!);
  expect((await indexOf(cluster.db))[key]).toBe(index[key]!);
  expect(outcome.stderr.split("\n").filter((line) => line.startsWith(`"${key}": `)).length).toBe(1);
});

test("what could not be moved is counted, and the exit code is 1", () => {
  const counts = `rebalanced ${all.length} keys: ${healed.length} moved, 0 in place, ${lost.length} failed`;
  expect([outcome.exitCode, outcome.last]).toEqual([1, counts]);
  const lines = outcome.stderr.trimEnd().split("\n");
  expect(lines.length).toBe(lost.length + 1);
  expect(lines.at(-1)).toMatch(/^mkv: 7 keys could not be rebalanced: .*run it again$/);
});

test("verify -md5 -repair then finds and heals the copies that nobody had to read", async () => {
  const { last } = await runJob(cluster, "verify", { flags: ["-md5", "-repair"] });
  expect(last).toMatch(/ \d+ missing, \d+ damaged, 0 unknown, /);
  for (const item of healed) {
    const key = keys.get(item)!;
    expect([item.what, copiesOf(cluster, key)]).toEqual([
      item.what,
      copiesOn(
        cluster.addresses.flatMap((address) => placedNow(key).filter((volume) => volume.startsWith(`${address}/`))),
        valueOf(key),
      ),
    ]);
  }
});

test("with fewer replicas, the copy that stays is checked before the others go", async () => {
  const flags = ["-replicas", "1"];
  const [flipped, whole] = [healed.slice(0, 6), healed.slice(6)];
  for (const item of flipped) damage(fileOf(cluster, keys.get(item)!, placedNow(keys.get(item)!)[0]!), "flipped");
  const { exitCode, last } = await runJob(cluster, "rebalance", { flags });
  const gone = lost.filter(({ unlinked }) => !unlinked).length;
  expect([exitCode, last]).toEqual([1, expect.stringContaining(` ${healed.length} moved, 1 in place, ${gone} failed`)]);
  // A volume with a copy under way when it failed has to settle first: what lies there is for the next process to remove.
  await cluster.startMaster(flags);
  await until(
    () => [...flipped, ...whole].every((item) => Object.keys(copiesOf(cluster, keys.get(item)!)).length === 1),
    {
      what: "the others have gone",
      deadlineMs: 20_000,
    },
  );
  for (const item of [...flipped, ...whole]) {
    const key = keys.get(item)!;
    expect([item.what, copiesOf(cluster, key)]).toEqual([
      item.what,
      copiesOn(placedNow(key).slice(0, 1), valueOf(key)),
    ]);
  }
});
