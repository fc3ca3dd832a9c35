// A rebuild is cut off, kept out, or started over an index that is damaged.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { startGatedCluster } from "../support/gated";
import { copiesOn, copiesOf, homeOf } from "../support/copies";
import { request } from "../support/http";
import { startMaster, type Master } from "../support/master";
import { placedOn } from "../support/placement";
import { writeRecords } from "../support/records";
import { until } from "../support/until";
import { targetOf, valueOf } from "../support/values";
import { besides, bytesOf, indexOf, runJob, startJob, swapPlace, withoutProgress } from "./job";
import { plainKeys } from "./keys";
import { DEEP, listingOf, startStandIn } from "./standin";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const keys = plainKeys("key", 60);
const soft = keys[7]!;
let cluster: Cluster;
let written: Record<string, string>;

beforeAll(async () => {
  cluster = await startCluster();
  for (const key of keys) await cluster.store(key);
  expect((await cluster.ask("UNLINK", soft)).status).toBe(204);
  await cluster.master.stop();
  written = await indexOf(cluster.db);
});
afterAll(() => cluster[Symbol.asyncDispose]());

/** A copy of the index that a test may spoil. */
function copyOfIndex(name: string): string {
  const db = `${cluster.db}-${name}`;
  cpSync(cluster.db, db, { recursive: true });
  rmSync(join(db, "EPOCH")); // As of a version that did not yet note on volumes how far it had come.
  return db;
}

async function listOf(master: Master, operation: "list" | "unlinked"): Promise<string[]> {
  return JSON.parse((await request(master.port, { target: `/?${operation}` })).text).keys;
}

test("a rebuild that is killed in the middle leaves the old index as it was; the next one goes through", async () => {
  const db = copyOfIndex("killed");
  let isSilent = true;
  await using silent = await startStandIn(({ path }) =>
    isSilent && path === DEEP ? { does: "stall" } : { does: "answer", status: 200, body: listingOf() },
  );
  const volumes = [...cluster.addresses, silent.address];
  const bytes = bytesOf(db);
  for (let i = 0; i < 2; i++) {
    await using job = startJob(cluster, "rebuild", { db, volumes });
    const listings = () => silent.seen.filter(({ method }) => method === "GET"); // It is greeted before.
    await until(() => listings().length === 4 * (i + 1), { what: "half of the volumes is listed" });
    expect(existsSync(swapPlace(db, "rebuild"))).toBe(true);
    await job.end("SIGKILL");
    expect([job.stdout, withoutProgress(job.stderr)]).toEqual(["", ""]);
    expect(bytesOf(db)).toEqual(bytes);
    expect(await indexOf(db)).toEqual(written);
  }
  await writeRecords(swapPlace(db, "rebuild"), [["/of-the-run-before", `${cluster.addresses[0]}/sv00`]]);
  isSilent = false;
  const { exitCode, last } = await runJob(cluster, "rebuild", { db, volumes });
  expect([exitCode, last]).toEqual([
    0,
    `rebuilt ${db}: ${keys.length} keys in ${3 * keys.length} files; 0 files reported and not indexed`,
  ]);
  expect(besides(db)).toEqual([]);
  const states = (index: Record<string, string>) =>
    Object.entries(index).map(([key, record]) => [key, record.match(/^(DELETED)?HASH.{32}/)![0]]);
  expect(states(await indexOf(db))).toEqual(states(written));
});

test.each(["server", "rebuild", "rebalance"] as const)(
  "killed between the two renames at the end of version 0.1.0's: %s finds the old index, and nothing is lost",
  async (next) => {
    const db = copyOfIndex(`swapped-${next}`);
    renameSync(db, `${db}.old`);
    cpSync(`${db}.old`, `${db}.rebuild`, { recursive: true });
    if (next === "server") {
      await using master = await startMaster({ db, volumes: cluster.addresses });
      expect(await listOf(master, "list")).toEqual(keys.filter((key) => key !== soft).sort());
      expect(await listOf(master, "unlinked")).toEqual([soft]);
      expect(await master.stop()).toBe(0);
    } else expect((await runJob(cluster, next, { db })).exitCode).toBe(0);
    expect(await indexOf(db)).toEqual(written);
    expect(existsSync(`${db}.old`)).toBe(false);
  },
);

test("killed before the old index was removed: the new one is used, and the next rebuild removes the old", async () => {
  const db = copyOfIndex("unremoved");
  cpSync(db, swapPlace(db, "old"), { recursive: true });
  await writeRecords(swapPlace(db, "old"), [["/only-in-the-old", `${cluster.addresses[0]}/sv00`]]);
  await using master = await startMaster({ db, volumes: cluster.addresses });
  expect(await listOf(master, "list")).toEqual(keys.filter((key) => key !== soft).sort());
  expect(await master.stop()).toBe(0);
  expect((await runJob(cluster, "rebuild", { db })).exitCode).toBe(0);
  expect(await indexOf(db)).toEqual(written);
  expect(besides(db)).toEqual([]);
});

test("an index that a master serves is left alone, and so is the master", async () => {
  await cluster.startMaster();
  for (const command of ["rebuild", "rebalance", "verify"] as const) {
    const { exitCode, stdout, stderr } = await runJob(cluster, command);
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(/^mkv: [^\n]*in use[^\n]*\n$/);
    expect(besides(cluster.db).filter((name) => !name.includes(".journal-"))).toEqual([]);
  }
  expect((await cluster.ask("GET", keys[0]!)).status).toBe(302);
  expect((await cluster.keys("list")).length).toBe(keys.length - 1);
  expect(await cluster.master.stop()).toBe(0);
  expect(await indexOf(cluster.db)).toEqual(written);
});

test.each(["old", "new"])(
  "a second rebuild at the same time (%s index) is kept out, and does the first no harm",
  async (which) => {
    await using gated = await startGatedCluster();
    for (const key of keys.slice(0, 20)) await gated.store(key);
    await gated.master.stop();
    const placesIn = async (db: string) =>
      Object.entries(await indexOf(db)).map(([key, record]) => [key, record.replace(/^HASH.{32}/, "")]);
    const expected = await placesIn(gated.db);
    const db = which === "old" ? gated.db : `${gated.db}-new`;
    const gate = gated.gates[0]!;
    gate.hold("GET", "arrival");
    await using first = startJob(gated, "rebuild", { db });
    await gate.holds("GET");
    const options = { db, volumes: gated.addresses.slice(1, 3), flags: ["-replicas", "2"] };
    const second = await runJob(gated, "rebuild", options);
    expect([second.exitCode, second.stderr.includes("in use")]).toEqual([1, true]);
    gate.open();
    expect([await first.exited, withoutProgress(first.stderr)]).toEqual([0, ""]);
    expect(await placesIn(db)).toEqual(expected);
  },
);

const manifest = (db: string) =>
  join(
    db,
    readdirSync(db).find((name) => name.startsWith("MANIFEST-"))!,
  );
const damages: [what: string, damage: (db: string) => void][] = [
  ["a manifest cut in half", (db) => truncateSync(manifest(db), readFileSync(manifest(db)).length >> 1)],
  ["an empty manifest", (db) => truncateSync(manifest(db), 0)],
  ["no manifest", (db) => rmSync(manifest(db))],
  ["a CURRENT of nonsense", (db) => writeFileSync(join(db, "CURRENT"), "nonsense")],
  [
    "tables full of zeroes",
    (db) => {
      for (const name of readdirSync(db).filter((name) => name.endsWith(".ldb")))
        writeFileSync(join(db, name), Buffer.alloc(readFileSync(join(db, name)).length));
    },
  ],
];

test.each(damages)("an index with %s is made anew", async (_, damage) => {
  const db = copyOfIndex("damaged");
  damage(db);
  const { exitCode, last } = await runJob(cluster, "rebuild", { db });
  expect(last).toEndWith(`: ${keys.length} keys in ${3 * keys.length} files; 0 files reported and not indexed`);
  expect(exitCode).toBe(0);
  const live = keys.map((key) => [key, placedOn(key, { volumes: cluster.addresses }).join(",")]);
  expect(await indexOf(db)).toEqual(Object.fromEntries(live));
  rmSync(db, { recursive: true });
});

test("what is no index, such as a folder of a volume, is left as it is", async () => {
  const [folder, file] = [`${cluster.db}-volume`, `${cluster.db}-file`];
  cpSync(cluster.volumes[0]!.dir, folder, { recursive: true });
  writeFileSync(file, "notes");
  const names = readdirSync(folder);
  for (const [db, why] of [
    [folder, "it holds .mkv"],
    [file, "it is a file"],
  ] as const) {
    const { exitCode, stdout, stderr } = await runJob(cluster, "rebuild", { db });
    const line = `mkv: ${db} is not an index (${why}): name another -db, or move it away\n`;
    expect([exitCode, stdout, stderr]).toEqual([1, "", line]);
  }
  expect(readdirSync(folder)).toEqual(names);
  expect(readFileSync(file, "utf8")).toBe("notes");
});

test("one damaged record costs what it said, and nothing else", async () => {
  const db = copyOfIndex("record");
  await writeRecords(db, [[keys[0]!, "HASH,,"]]);
  expect((await runJob(cluster, "rebalance", { db })).stderr).toContain("run rebuild");
  expect((await runJob(cluster, "rebuild", { db })).exitCode).toBe(0);
  const volumes = placedOn(keys[0]!, { volumes: cluster.addresses }).join(",");
  expect(await indexOf(db)).toEqual({ ...written, [keys[0]!]: volumes });
});

test("what an unfinished write has left is reported, not indexed, and removed by the next master", async () => {
  await using gated = await startGatedCluster();
  await gated.store("/whole");
  for (const gate of gated.gates) gate.hold("PUT", "answer");
  const value = valueOf("cut", 200_000); // Too long to go out in one piece.
  const cutOff = gated.ask("PUT", targetOf("/cut/é"), { body: value }).catch(() => "no answer");
  for (const gate of gated.gates) await gate.holds("PUT");
  await gated.master.kill();
  expect(await cutOff).toBe("no answer");
  gated.openAll();
  const home = homeOf(gated, "/cut/é");
  expect(copiesOf(gated, "/cut/é")).toEqual(copiesOn(home, value));
  const { exitCode, last, stderr } = await runJob(gated, "rebuild");
  expect([exitCode, last]).toEqual([0, `rebuilt ${gated.db}: 1 key in 3 files; 3 files reported and not indexed`]);
  const lines = stderr.trimEnd().split("\n").sort();
  expect(lines.map((line) => line.split("/", 2).join("/"))).toEqual(home.toSorted());
  for (const line of lines) expect(line).toContain("unfinished write");
  expect(Object.keys(await indexOf(gated.db))).toEqual(["/whole"]);
  await gated.startMaster();
  await until(() => gated.remains().length === 3, { what: "what was left is removed" });
  expect([await gated.keys("list"), await gated.keys("unlinked")]).toEqual([["/whole"], []]);
});
