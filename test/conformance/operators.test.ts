// Slips of an operator: each is said in one line, and none loses anything.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { basename, dirname, join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { smallDisk, whyNoDisk } from "../support/disk";
import { temporaryFolder, type Folder } from "../support/folder";
import { request } from "../support/http";
import { mkv, runMkv, startMaster } from "../support/master";
import { RunningProcess } from "../support/process";
import { withoutGrace } from "../support/grace";
import { writeRecords } from "../support/records";

setDefaultTimeout(60_000);
withoutGrace();
const isRoot = process.getuid?.() === 0;
const nobody = 65_534;
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

function isTaken(port: number, host: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host }, () => (socket.destroy(), resolve(true)));
    socket.once("error", () => resolve(false));
  });
}

test.each(["1", "2"])("-bind listens on one address alone, with %s threads", async (threads) => {
  const args = ["-bind", "127.0.0.2", "-port", "0", "-threads", threads, "-db", join(folder.path, `bind-${threads}`)];
  await using server = new RunningProcess({ command: mkv([...args, "-volumes", volumes, "server"]) });
  const [, port] = await server.says(/listening on port (\d+)/);
  expect(await isTaken(Number(port), "127.0.0.2")).toBe(true);
  expect(await isTaken(Number(port), "127.0.0.1")).toBe(false);
});

test.each([
  ["everywhere", 2],
  ["127.0.0.1:3000", 2],
  ["192.0.2.1", 1],
])("-bind %s is one line that names it", async (address, exitCode) => {
  const db = join(folder.path, "bad-bind");
  const outcome = await runMkv(["-bind", address, "-port", "0", "-db", db, "-volumes", volumes, "server"]);
  expect([outcome.exitCode, outcome.stderr]).toEqual([exitCode, expect.stringContaining(address)]);
  expect(outcome.stderr.trimEnd().split("\n").at(-1)).toMatch(/^mkv: /);
});

test("an index that is gone is not made anew while a volume is silent, nor beside its journal", async () => {
  const db = join(folder.path, "gone");
  const args = ["-port", "0", "-db", db, "-volumes", volumes, "server"];
  {
    await using server = new RunningProcess({ command: mkv(args) });
    await server.says(/listening on port/);
    expect(await server.end("SIGTERM")).toBe(0);
  }
  rmSync(db, { recursive: true });
  const silent = await runMkv(args);
  const why = `there is no index at ${db} any more, and whether localhost:1 has values is not known`;
  expect([silent.exitCode, silent.stderr]).toEqual([1, `mkv: ${why}: it does not answer: run rebuild first\n`]);
  writeFileSync(`${db}.journal-0`, "");
  const { exitCode, stderr } = await runMkv(args);
  const journal = `there is no index at ${db}, but its journal ${db}.journal-0`;
  expect([exitCode, stderr]).toEqual([1, `mkv: ${journal}: run rebuild first\n`]);
});

test("a key that no URL can name is told by a job through a master, and is no other key", async () => {
  const db = join(folder.path, "dots");
  await writeRecords(
    db,
    ["/.", "/.."].map((key) => [key, "localhost:1/sv00"]),
  );
  await using master = await startMaster({ db, volumes: ["localhost:1"], flags: ["-replicas", "1"] });
  const { exitCode, stderr } = await runMkv(["-master", master.url, "rebalance"]);
  expect([exitCode, stderr]).toEqual([
    1,
    expect.stringMatching(/^"\/.": no URL can name the key "\/."\n"\/..": no URL can name the key "\/.."\n/),
  ]);
});

test.skipIf(whyNoDisk() !== undefined)("a folder for temporary files that is of no use stops no command", async () => {
  await using disk = smallDisk(16_000_000);
  disk.forbidExecution();
  const db = join(folder.path, "temporary");
  await writeRecords(db, [["/key", "localhost:1/sv00"]]);
  for (const TMPDIR of [join(folder.path, "nowhere"), disk.path]) {
    const { exitCode, stdout } = await runMkv(["-db", db, "export"], { env: { TMPDIR } });
    expect([TMPDIR, exitCode, stdout]).toEqual([TMPDIR, 0, expect.stringContaining('"key":"/key"')]);
  }
  expect(readdirSync(disk.path)).toEqual([]);
});

test("SIGHUP ends no master", async () => {
  for (let i = 0; i < 3; i++) cluster.master.process.signal("SIGHUP");
  await Bun.sleep(300);
  expect((await cluster.ask("GET", "/absent")).status).toBe(404);
  expect(cluster.master.process.ended).toBe(false);
});

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

test.skipIf(!isRoot).each([
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

test.skipIf(!isRoot).each(["rebuild", "rebalance", "verify"])(
  "a %s by root leaves the index to its owner",
  async (command) => {
    await cluster.store(`/owned-${command}`);
    await cluster.master.stop();
    for (const path of pathsOf(cluster.db)) chownSync(path, nobody, nobody);
    const args = ["-db", cluster.db, "-volumes", cluster.addresses.join(",")];
    expect((await runMkv([...args, command])).exitCode).toBe(0);
    for (const path of pathsOf(cluster.db)) expect([path, lstatSync(path).uid]).toEqual([path, nobody]);
    await cluster.startMaster();
  },
);

const unused: [command: string, flags: string[], named: string][] = [
  ["rebalance", ["-repair", "-rate", "5"], "-repair"],
  ["adopt", ["-rate", "5"], "-rate"],
  ["rebalance", ["-md5"], "-md5"],
  ["rebuild", ["-orphans=false"], "-orphans"],
  ["rebuild", ["-master", "http://localhost:1"], "-master"],
  ["server", ["-repair"], "-repair"],
  ["server", ["-master=http://localhost:1"], "-master"],
  ["verify", ["-minreplicas", "1"], "-minreplicas"],
  ["adopt", ["-bind", "127.0.0.1"], "-bind"],
];

test.each(unused)("%s %p is refused by name", async (command, flags, named) => {
  const outcome = await runMkv(["-db", join(folder.path, "unused"), "-volumes", volumes, command, ...flags]);
  expect([outcome.exitCode, outcome.stdout]).toEqual([2, ""]);
  expect(outcome.stderr).toMatch(new RegExp(`^mkv: ${command} does not use ${named},[^\\n]*\\n$`));
});

test.each(["rebuild", "rebalance", "verify"])("%s takes every flag of the Go program", async (command) => {
  const go = [
    "-port",
    "0",
    "-fallback",
    "",
    "-protect",
    "-md5sum=false",
    "-voltimeout",
    "1s",
    "-basicauth",
    "-userpass=a:b",
    "-v",
  ];
  const outcome = await runMkv([
    ...go,
    "-subvolumes",
    "10",
    "-db",
    join(folder.path, "go", "x"),
    "-volumes",
    volumes,
    command,
  ]);
  expect([outcome.exitCode, outcome.stderr]).toEqual([1, expect.not.stringContaining("does not use")]);
});

test.each(["rebalance", "verify", "adopt localhost:1"])("%s says when its master cannot be reached", async (line) => {
  const outcome = await runMkv(["-master", "http://localhost:1", "-volumes", volumes, ...line.split(" ")]);
  expect(outcome.exitCode).toBe(1);
  expect(outcome.stderr).toMatch(/the master at http:\/\/localhost:1 cannot be reached \(\w+\): is it running/);
  expect(outcome.stderr).not.toMatch(/computer|typo|url/);
});

test("a server that was started so serves", async () => {
  expect((await request(cluster.master.port, { target: "/closed" })).status).toBe(302);
});
