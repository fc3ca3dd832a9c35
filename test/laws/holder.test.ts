// The laws of trust, 7: one process has a ledger, from before it looks at anything until it ends.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { startJob, swapPlace } from "../jobs/job";
import { startGatedCluster, type GatedCluster } from "../support/gated";
import { temporaryFolder } from "../support/folder";
import { runMkv } from "../support/master";
import { until } from "../support/until";

setDefaultTimeout(60_000);
let cluster: GatedCluster;
const flags = ["-replicas", "2"];

beforeAll(async () => {
  cluster = await startGatedCluster({ volumes: 3, flags });
  for (let i = 0; i < 20; i++) await cluster.store(`/old-${i}`);
  await cluster.master.stop();
});
afterAll(() => cluster[Symbol.asyncDispose]());

test.each([false, true])(
  "law 7: while a rebuild runs (its index lost: %p) no server, no job and no other rebuild may start, and all is there afterwards",
  async (isLost) => {
    if (isLost) rmSync(cluster.db, { recursive: true });
    const gate = cluster.gates[2]!;
    gate.hold("GET", "arrival");
    await using rebuild = startJob(cluster, "rebuild", { flags });
    await gate.holds("GET");
    const common = ["-db", cluster.db, "-volumes", cluster.addresses.join(","), ...flags, "-port", "0"];
    for (const command of ["server", "rebuild", "rebalance", "verify"]) {
      const { exitCode, stderr } = await runMkv([...common, command]);
      expect([command, exitCode, stderr]).toEqual([command, 1, expect.stringMatching(/^mkv: [^\n]* in use [^\n]*\n$/)]);
    }
    gate.open();
    expect([await rebuild.exited, rebuild.stderr]).toEqual([0, expect.any(String)]);
    await cluster.startMaster();
    expect((await cluster.keys("list")).length).toBe(20);
    await cluster.master.stop();
  },
);

test("law 7: a server that is killed leaves no lock behind", async () => {
  await cluster.startMaster();
  await cluster.master.kill();
  await cluster.startMaster();
  expect((await cluster.keys("list")).length).toBe(20);
});

test("law 7: a stale index of a swap is never served: with the index gone, neither an old one nor an unfinished one takes its place", async () => {
  if (!cluster.master.process.ended) await cluster.master.stop();
  for (const ending of ["old", "rebuild"] as const) {
    const stale = swapPlace(cluster.db, ending);
    await Bun.$`cp -r ${cluster.db} ${stale}`.quiet();
    await Bun.$`mv ${cluster.db} ${cluster.db}-aside`.quiet();
    const common = ["-db", cluster.db, "-volumes", cluster.addresses.join(","), ...flags, "-port", "0"];
    const { exitCode, stderr } = await runMkv([...common, "server"]);
    expect([ending, exitCode, stderr]).toEqual([
      ending,
      1,
      expect.stringMatching(/there is no index at .*run rebuild first/),
    ]);
    expect(existsSync(cluster.db)).toBe(false);
    rmSync(stale, { recursive: true });
    await Bun.$`mv ${cluster.db}-aside ${cluster.db}`.quiet();
  }
  await until(() => existsSync(cluster.db), { what: "the index is back" });
});

test("law 7: an index that is also reached by a symbolic link is one, with one lock and one memory of its volumes", async () => {
  if (!cluster.master.process.ended) await cluster.master.stop();
  const link = join(dirname(cluster.db), "by-another-name");
  symlinkSync(cluster.db, link);
  const server = (db: string) =>
    runMkv(["-db", db, "-volumes", cluster.addresses.join(","), ...flags, "-port", "0", "server"]);
  await using linked = await cluster.anotherMaster(undefined, { db: link });
  const { exitCode, stderr } = await server(cluster.db);
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining("in use by another process")]);
  expect(readdirSync(dirname(link)).filter((name) => name.includes("by-another-name"))).toEqual(["by-another-name"]);
  await linked.stop();

  mkdirSync(join(dirname(link), ".by-another-name.mkv"));
  const left = await server(link);
  expect([left.exitCode, left.stderr]).toEqual([1, expect.stringContaining("put the folder itself in the place")]);
});

test("law 7: where an index is reached by a link whose disk is not mounted, nothing is made that bars it later", async () => {
  if (!cluster.master.process.ended) await cluster.master.stop();
  const disk = dirname(cluster.db);
  await using folder = temporaryFolder();
  const link = join(folder.path, "link");
  symlinkSync(cluster.db, link);
  renameSync(disk, `${disk}-unmounted`);
  for (const command of ["server", "rebuild", "verify"]) {
    const { exitCode, stderr } = await runMkv([
      "-db",
      link,
      "-volumes",
      cluster.addresses.join(","),
      ...flags,
      command,
    ]);
    const line = expect.stringMatching(/link leads to nothing \(ENOENT.*\): is its disk mounted\?\n$/);
    expect([command, exitCode, stderr]).toEqual([command, 1, line]);
  }
  renameSync(`${disk}-unmounted`, disk);
  expect(readdirSync(folder.path)).toEqual(["link"]);
  await using _ = await cluster.anotherMaster(undefined, { db: link });
});
