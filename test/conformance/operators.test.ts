// Slips of an operator: each is said in one line, and none loses anything.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { smallDisk, whyNoDisk } from "../support/disk";
import { temporaryFolder, type Folder } from "../support/folder";
import { mkv, runMkv, startMaster } from "../support/master";
import { RunningProcess } from "../support/process";
import { withoutGrace } from "../support/grace";
import { writeRecords } from "../support/records";

setDefaultTimeout(60_000);
withoutGrace();
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
