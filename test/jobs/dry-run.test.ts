// What a job would do can be asked first, what it does can be slowed down, and programs can read how it ended.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Cluster, startCluster } from "../support/cluster";
import { withoutGrace } from "../support/grace";
import { pathOf } from "../support/placement";
import { valueOf } from "../support/values";
import { startVolume } from "../support/volume";
import { damage, fileOf } from "./damage";
import { type Command, indexOf, runJob, shelf } from "./job";
import { homeOf } from "../support/copies";
import { countsOf } from "./verified";

setDefaultTimeout(60_000);
withoutGrace();
const BYTES = 90_000;
const keys = Array.from({ length: 40 }, (_, i) => `/key-${i}`);
let cluster: Cluster;
let before: unknown;

const state = async () => [shelf(cluster), await indexOf(cluster.db)];

beforeAll(async () => {
  cluster = await startCluster({ volumes: 4 });
  await cluster.startMaster([], cluster.addresses.slice(0, 3));
  for (const key of keys) await cluster.store(key, valueOf(key, BYTES));
  expect((await cluster.ask("UNLINK", "/key-7")).status).toBe(204);
  await cluster.master.stop();
  before = await state();
});
afterAll(() => cluster[Symbol.asyncDispose]());

/** A job that changes nothing, on the index and through a master, and how it ended. */
async function dry(command: Command, flags: string[]) {
  const own = await runJob(cluster, command, { flags: ["-dry-run", "-json", ...flags] });
  expect(await state()).toEqual(before as never);
  const { url } = await cluster.startMaster();
  const remembered = async () => (await cluster.ask("GET", `/?job=${command}`)).text;
  const known = await remembered();
  const through = await runJob(cluster, command, { master: url, flags: ["-dry-run", "-json", ...flags] });
  expect(await remembered()).toBe(known); // Else a job that changes things would go on where this one was.
  await cluster.master.stop();
  expect(await state()).toEqual(before as never);
  const [said, saidThrough] = [own, through].map(({ last }) => JSON.parse(last));
  expect({ ...said, seconds: 0 }).toEqual({ ...saidThrough, seconds: 0 });
  return { ...own, said };
}

test("-dry-run of a rebalance says what would move, and changes no file and no record", async () => {
  const { said, stdout, exitCode } = await dry("rebalance", []);
  expect([exitCode, said]).toMatchObject([0, { job: "rebalance", exit: 0, dryRun: true, keys: 40, failed: 0 }]);
  expect(said.moved).toBeGreaterThan(10);
  expect(said.bytes).toBeGreaterThanOrEqual((said.moved / 2) * BYTES);
  expect(stdout).toContain(
    `would move ${said.moved} of 40 keys, and copy ${said.bytes} bytes: ${40 - said.moved} in place, 0 failed`,
  );
});

test("-rate holds for a rebalance; what it moves is what a dry run said", async () => {
  const { said } = await dry("rebalance", []);
  expect(said.bytes).toBeGreaterThan(2_000_000);
  const startMs = performance.now();
  const { last, exitCode } = await runJob(cluster, "rebalance", { flags: ["-json", "-rate", "1"] });
  expect([exitCode, JSON.parse(last)]).toMatchObject([0, { moved: said.moved, bytes: said.bytes }]);
  expect(performance.now() - startMs).toBeGreaterThan(said.bytes / 1000 - 1100); // A second's worth goes at once.
  before = await state();
});

test("-dry-run of verify -repair says what would be healed, and changes no file and no record", async () => {
  damage(fileOf(cluster, "/key-1", homeOf(cluster, "/key-1")[0]!), "missing");
  damage(fileOf(cluster, "/key-2", homeOf(cluster, "/key-2")[1]!), "shortened");
  for (const { file } of cluster.filesOf(pathOf("/key-7"))) rmSync(file);
  before = await state();
  const { said, stdout, exitCode } = await dry("verify", ["-repair"]);
  expect([exitCode, said]).toMatchObject([
    1,
    { exit: 1, missing: 1, damaged: 1, unfinished: 1, repaired: 3, bytes: 2 * BYTES, error: expect.any(String) },
  ]);
  expect(stdout).toMatch(/^-repair would repair 3 of 3 problems, and copy 180000 bytes\nverified .*; 0 repaired\n\{/);
  const healed = await runJob(cluster, "verify", { flags: ["-repair"] });
  expect([healed.exitCode, countsOf(healed.last).repaired]).toEqual([0, 3]);
});

test("-dry-run of verify -md5 -repair says what would be set aside, and which file would be recorded", async () => {
  const spoil = () =>
    homeOf(cluster, "/key-3").forEach((volume) => damage(fileOf(cluster, "/key-3", volume), "flipped"));
  spoil();
  const home = homeOf(cluster, "/key-4");
  const other =
    cluster.volumes[cluster.addresses.findIndex((address) => !home.some((name) => name.startsWith(address)))]!;
  const file = join(other.dir, "sv00", pathOf("/key-4"));
  const copies = home.map((volume) => fileOf(cluster, "/key-4", volume));
  mkdirSync(dirname(file), { recursive: true });
  copyFileSync(copies[0]!, file);
  const away = copies.map((_, i) => join(dirname(other.dir), `away-${i}`));
  copies.forEach((copy, i) => renameSync(copy, away[i]!));
  before = await state();
  const { said, output } = await dry("verify", ["-md5", "-repair", "-orphans"]);
  expect(said).toMatchObject({ missing: 3, damaged: 3, orphans: 1, repaired: 1, bytes: 0 });
  expect(output).toMatch(/key-3": not repaired: no good copy is left; the damaged ones on .* would be set aside/);
  expect(output).toContain(`${pathOf("/key-4")}: is a copy that its record lacks: it would name it`);
  copies.forEach((copy, i) => renameSync(away[i]!, copy));
  rmSync(file);
  spoil(); // Flipped twice, they are as they were.
});

test("a verify that only looks gives no id to a volume that is new", async () => {
  await using added = await startVolume();
  const { output } = await runJob(cluster, "verify", { volumes: [...cluster.addresses, added.address] });
  expect(output).toMatch(/^verified \d+ keys/m);
  expect(existsSync(join(added.dir, "mkv"))).toBe(false);
});

test("-json: also where a job fails, the last line says how far it came and why", async () => {
  for (const command of ["rebuild", "rebalance", "verify"] as const) {
    const { stdout, exitCode } = await runJob(cluster, command, { flags: ["-json"] });
    const { job, exit, seconds, error } = JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
    expect([job, exit, seconds > 0, error, exitCode]).toEqual([command, 0, true, undefined, 0]);
  }
  const { last, exitCode } = await runJob(cluster, "verify", { db: `${cluster.db}-none`, flags: ["-json"] });
  expect([exitCode, JSON.parse(last)]).toMatchObject([
    1,
    { job: "verify", exit: 1, keys: 0, error: expect.stringContaining("run rebuild") },
  ]);
  for (const [how, exit] of [
    [{ master: "http://localhost:1" }, 1],
    [{ flags: ["-replicas", "30"] }, 2],
  ] as const) {
    const failed = await runJob(cluster, "verify", { ...how, flags: [...(how.flags ?? []), "-json", "-dry-run"] });
    const said = { job: "verify", exit, dryRun: true, error: expect.any(String) };
    expect([failed.exitCode, JSON.parse(failed.last)]).toMatchObject([exit, said]);
  }
});
