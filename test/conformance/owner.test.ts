// Whose an index is: its owner's alone, also where root works on it, or is killed while it does.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { temporaryFolder, type Folder } from "../support/folder";
import { withoutGrace } from "../support/grace";
import { request } from "../support/http";
import { mkv, runMkv, startMaster } from "../support/master";
import { RunningProcess } from "../support/process";
import { until } from "../support/until";

setDefaultTimeout(60_000);
withoutGrace();
const testAsRoot = test.skipIf(process.getuid?.() !== 0);
const nobody = 65_534;
const asNobody = ["setpriv", `--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups"];
const volumes = "localhost:1,localhost:2,localhost:3";
let folder: Folder;
let cluster: Cluster;
beforeAll(async () => {
  folder = temporaryFolder();
  cluster = await startCluster();
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** The index, what lies beside it, and all that is in them. */
function pathsOf(db: string): string[] {
  const beside = readdirSync(dirname(db)).filter((name) => name.includes(basename(db)));
  return beside
    .map((name) => join(dirname(db), name))
    .flatMap((path) =>
      lstatSync(path).isDirectory() ? [path, ...readdirSync(path).map((name) => join(path, name))] : [path],
    );
}

/** Those of these paths that are not nobody's. */
const ofOthers = (paths: string[]) => paths.filter((path) => lstatSync(path).uid !== nobody);

/** Stores a key, and gives the index, whose master has ended, to nobody, with the folder above it. Its flags for a job. */
async function giveToNobody(key: string): Promise<string[]> {
  await cluster.store(key);
  await cluster.master.stop();
  for (const path of [dirname(cluster.db), ...pathsOf(cluster.db)]) chownSync(path, nobody, nobody);
  return ["-db", cluster.db, "-volumes", cluster.addresses.join(",")];
}

/** Whether a master of nobody's starts over the index of the cluster, and knows the key. */
async function servesAsNobody(key: string): Promise<boolean> {
  cluster.master = await startMaster({ db: cluster.db, volumes: cluster.addresses, by: asNobody });
  return (await cluster.ask("GET", key)).status === 302;
}

test("index, journal, and what lies beside them are closed to other users", async () => {
  await cluster.store("/closed");
  for (const path of pathsOf(cluster.db)) {
    const stats = lstatSync(path);
    expect([path, stats.mode & 0o777]).toEqual([path, stats.isDirectory() ? 0o700 : 0o600]);
  }
});

test("an index that was open to others is closed with the next start", async () => {
  await cluster.master.stop();
  chmodSync(cluster.db, 0o755);
  await cluster.startMaster();
  expect(lstatSync(cluster.db).mode & 0o777).toBe(0o700);
  expect((await cluster.ask("GET", "/closed")).status).toBe(302);
});

test.each(["server", "rebuild", "export"])(
  "%s over a folder of something else leaves it as it is, and open",
  async (command) => {
    const other = join(folder.path, `of-others-${command}`);
    mkdirSync(other);
    writeFileSync(join(other, "notes"), "");
    chmodSync(other, 0o755);
    const flags = command === "export" ? [] : ["-volumes", volumes];
    const { exitCode, stderr } = await runMkv(["-db", other, ...flags, command]);
    expect([exitCode, stderr]).toEqual([
      1,
      `mkv: ${other} is not an index (it holds notes): name another -db, or move it away\n`,
    ]);
    expect(lstatSync(other).mode & 0o777).toBe(0o755);
  },
);

testAsRoot.each([
  ["the index", "index"],
  ["the folder above it", ""],
])("a user who may not read %s is told so, and nothing is called damaged", async (_, closed) => {
  const above = join(folder.path, `closed-${closed}`);
  mkdirSync(join(above, "index"), { recursive: true });
  writeFileSync(join(above, "index", "CURRENT"), "");
  chownSync(above, nobody, nobody);
  chmodSync(join(above, closed), closed ? 0o700 : 0o500);
  const user = ["setpriv", `--reuid=${closed ? nobody : nobody - 1}`, `--regid=${nobody - 1}`, "--clear-groups"];
  const command = [...user, ...mkv(["-db", join(above, "index"), "-volumes", volumes, "rebuild"])];
  await using process = new RunningProcess({ command });
  expect(await process.exited).toBe(1);
  expect(process.stderr).toMatch(
    /^mkv: [^\n]*(cannot be read \(EACCES\): run mkv as|of the index cannot be written to)[^\n]*\n$/,
  );
});

testAsRoot.each(["rebuild", "rebalance", "verify", "server"])(
  "a %s by root leaves the index to its owner, also when it is killed in the middle",
  async (command) => {
    const flags = await giveToNobody(`/killed-${command}`);
    for (const volume of cluster.volumes) volume.freeze();
    const port = command === "server" ? ["-port", "0"] : [];
    await using job = new RunningProcess({ command: mkv([...flags, ...port, command]) });
    const lock = join(dirname(cluster.db), `.${basename(cluster.db)}.mkv`, "LOCK");
    await until(() => openFiles(job.pid).includes(lock), { what: "it has the index" });
    await job.end("SIGKILL");
    for (const volume of cluster.volumes) volume.thaw();
    expect(ofOthers(pathsOf(cluster.db))).toEqual([]);
    if (command !== "server") expect((await runMkv([...flags, command])).exitCode).toBe(0);
    expect(ofOthers(pathsOf(cluster.db))).toEqual([]);
    expect(await servesAsNobody(`/killed-${command}`)).toBe(true);
  },
);

testAsRoot(
  "root's backup goes into an index of whoever owns the folder, from and to files that are root's alone",
  async () => {
    const flags = (await giveToNobody("/saved")).slice(0, 2);
    const { exitCode, stdout } = await runMkv([...flags, "export"]);
    expect([exitCode, ofOthers(pathsOf(cluster.db))]).toEqual([0, []]);
    const [file, above] = [join(folder.path, "backup"), join(folder.path, "of-nobody")];
    writeFileSync(file, stdout, { mode: 0o600 });
    mkdirSync(above);
    chownSync(above, nobody, nobody);
    const db = join(above, "index");
    expect((await runMkv(["-db", db, "-latest", "import"], { stdin: Bun.file(file) })).exitCode).toBe(0);
    expect(ofOthers(pathsOf(db))).toEqual([]);
    await using master = await startMaster({ db, volumes: cluster.addresses, by: asNobody, flags: ["-threads", "3"] });
    expect((await request(master.port, { target: "/saved" })).status).toBe(302);
    expect(await servesAsNobody("/saved")).toBe(true);
  },
);

testAsRoot("an index with a log that its user may not read is refused, and keeps it", async () => {
  await giveToNobody("/before");
  expect(await servesAsNobody("/before")).toBe(true);
  await cluster.store("/in-the-log");
  await cluster.master.kill();
  const log = pathsOf(cluster.db).find((path) => dirname(path) === cluster.db && path.endsWith(".log"))!;
  chownSync(log, 0, 0);
  await using process = new RunningProcess({ command: [...asNobody, ...mkv(["-db", cluster.db, "export"])] });
  expect(await process.exited).toBe(1);
  expect(process.stderr).toMatch(/^mkv: [^\n]* cannot be read \(EACCES\): run mkv as [^\n]*\n$/);
  chownSync(log, nobody, nobody);
  expect(await servesAsNobody("/in-the-log")).toBe(true);
});

function openFiles(pid: number): string[] {
  const names = readdirSync(`/proc/${pid}/fd`);
  return names.flatMap((name) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${name}`)];
    } catch {
      return []; // It was closed meanwhile.
    }
  });
}
