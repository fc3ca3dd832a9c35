// Making the index in a database anew: out of the volumes, out of the index of one master, and the other way.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { temporaryFolder } from "../support/folder";
import { runMkv, type Outcome } from "../support/master";
import { startPostgres, type Postgres } from "../support/postgres";
import { md5Hex } from "../support/values";
import { CHECKOUT } from "../support/volume";

setDefaultTimeout(60_000);
let server: Postgres;
let cluster: Cluster;
beforeAll(async () => {
  server = await startPostgres();
  cluster = await startCluster({ db: server.url });
});
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

const job = (db: string, ...words: string[]): Promise<Outcome> =>
  runMkv(["-db", db, "-volumes", cluster.addresses.join(","), ...words], { timeoutMs: 40_000 });

const keys = Array.from({ length: 20 }, (_, i) => `/key/${String(i).padStart(2, "0")}`);
const unlinked = keys.slice(0, 3);

/** Throws unless all keys are as they were stored, with their MD5. */
async function expectAll(): Promise<void> {
  expect(await cluster.keys("list")).toEqual(keys.slice(3));
  expect(await cluster.keys("unlinked")).toEqual(unlinked);
  for (const key of keys.slice(3)) {
    const { status, headers } = await cluster.ask("GET", key);
    expect([key, status, headers.get("content-md5")]).toEqual([key, 302, md5Hex(`value of ${key}`)]);
  }
}

test("a rebuild beside masters is refused; without them it keeps what only the old index knew, again and again", async () => {
  for (const key of keys) await cluster.store(key);
  for (const key of unlinked) expect((await cluster.ask("UNLINK", key)).status).toBe(204);
  const refused = await job(server.url, "rebuild");
  expect([refused.exitCode, refused.stderr]).toEqual([
    1,
    expect.stringMatching(/at work on this store: a master or job on /),
  ]);
  await expectAll();
  for (let round = 0; round < 2; round++) {
    await cluster.master.stop();
    const { exitCode, stdout } = await job(server.url, "-threads", "2", "rebuild");
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/^rebuilt postgres:\/\/\S+: 20 keys in 60 files/)]);
    await cluster.startMaster();
    await expectAll();
  }
  const indexes = await server.query("select indexname from pg_indexes where tablename = 'mkv_keys'");
  expect(indexes.map(({ indexname }) => indexname)).toContain("mkv_keys_due");
});

test("a master that was cut off while a rebuild began ends as soon as it finds it", async () => {
  await using other = await cluster.anotherMaster();
  await server.query("insert into mkv_processes values (gen_random_uuid(), 'rebuild', 'far away', now())");
  expect(await other.process.exited).toBe(1);
  expect(other.output).toMatch(
    /not heard of this process for too long: stopping, since at work on this store: a rebuild/,
  );
  await server.query("delete from mkv_processes where kind = 'rebuild'");
  await cluster.startMaster();
});

test("an empty database is not taken for the index of volumes that have values, also after a rebuild that failed", async () => {
  await cluster.master.stop();
  await server.query("create database lost");
  const lost = server.url.replace(/postgres$/, "lost");
  const [down] = cluster.volumes;
  for (const isDown of [false, true]) {
    if (isDown) {
      await down!.kill();
      expect((await job(lost, "rebuild")).exitCode).toBe(1);
      await down!.restart();
    }
    const refused = await job(lost, "-port", "0", "server");
    expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringMatching(/has values: run rebuild first/)]);
  }
  const { exitCode, stdout } = await job(lost, "rebuild");
  expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/20 keys in 60 files/)]);
});

test("tables that were made by hand, as the document says, are those of no store until a rebuild or a first start marks them", async () => {
  const document = readFileSync(join(CHECKOUT, "docs/several-masters.md"), "utf8");
  const [byHand] = /(?<=instead of letting the first start do it:\n\n)(?: {4}.*\n)+/.exec(document)!;
  for (const name of ["by_hand", "fresh"]) {
    await server.query(`create database ${name}`);
    await server.queryIn(name, byHand);
  }
  const full = server.urlOf("by_hand");
  const refused = await job(full, "-port", "0", "server");
  expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringMatching(/has values: run rebuild first/)]);
  expect((await job(full, "rebuild")).stdout).toMatch(/20 keys in 60 files/);
  await using fresh = await startCluster({ db: server.urlOf("fresh") });
  await fresh.store("/key");
  expect(fresh.master.output).toContain("the tables of a new store are made in ");
});

test("a store goes from a database into a folder and back, with hashes and unlinked keys", async () => {
  await using folder = temporaryFolder();
  const index = join(folder.path, "index");
  await server.query("create database next");
  const next = server.url.replace(/postgres$/, "next");
  const move = async (from: string, to: string) => {
    const backup = await runMkv(["-db", from, "export"]);
    expect(backup.exitCode).toBe(0);
    const file = join(folder.path, "backup");
    await Bun.write(file, backup.stdout);
    const imported = await runMkv(["-db", to, "-latest", "import"], { stdin: Bun.file(file) });
    expect([imported.exitCode, imported.stdout]).toEqual([0, expect.stringMatching(/imported 20 keys into /)]);
    const again = await runMkv(["-db", to, "-latest", "import"], { stdin: Bun.file(file) });
    expect([again.exitCode, again.stderr]).toEqual([1, expect.stringMatching(/not empty/)]);
  };
  await move(server.url, index);
  await move(index, next);
  await using moved = await cluster.anotherMaster([], { db: next });
  const before = cluster.master;
  cluster.master = moved;
  await expectAll();
  cluster.master = before;
});
