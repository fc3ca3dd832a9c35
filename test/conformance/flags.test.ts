import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { temporaryFolder, type Folder } from "../support/folder";
import { eventsIn } from "../support/events";
import { request } from "../support/http";
import { mkv, runMkv, startMaster, type Outcome } from "../support/master";
import { RunningProcess } from "../support/process";
import { writeRecords } from "../support/records";
import { CHECKOUT } from "../support/volume";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(30_000);
withoutGrace();
const volumes = "localhost:1,localhost:2,localhost:3"; // Nobody listens there, which is no hindrance to a start.
let folder: Folder;
let db: string;
beforeAll(() => {
  folder = temporaryFolder();
  db = join(folder.path, "index");
});
afterAll(() => folder[Symbol.asyncDispose]());

/** Starts a server with these arguments, asks it this, and gives the status. */
async function statusFrom(args: string[], method: string, target: string): Promise<number> {
  await using server = new RunningProcess({ command: mkv(args) });
  const [, port] = await server.says(/listening on port (\d+)/);
  return (await request(Number(port), { method, target })).status;
}

/** One line that says what is wrong, and no more. */
function expectRefusal(outcome: Outcome, exitCode: 1 | 2): void {
  expect(outcome.exitCode).toBe(exitCode);
  expect(outcome.stderr).toMatch(/^[^\n]{10,400}\n$/);
  expect(outcome.stdout).toBe("");
  expect(outcome.stderr).not.toMatch(/\bat .*:\d+:\d+/);
}

const rest = () => ["-port", "0", "-volumes", volumes];

const dbForms: [string, () => string[]][] = [
  ["-db x before the command", () => ["-db", db, ...rest(), "server"]],
  ["--db x", () => ["--db", db, ...rest(), "server"]],
  ["-db=x", () => [`-db=${db}`, ...rest(), "server"]],
  ["--db=x", () => [`--db=${db}`, ...rest(), "server"]],
  ["-db x after the command", () => ["server", "-db", db, ...rest()]],
  ["flags on both sides of it", () => ["-db", db, "server", ...rest()]],
  ["-- before the command", () => ["-db", db, ...rest(), "--", "server"]],
  [
    "every flag at once",
    () => [
      "-port=0",
      "--volumes",
      volumes,
      "-replicas",
      "2",
      "-subvolumes=3",
      "-fallback",
      "",
      "-protect",
      "-md5sum=false",
      "--voltimeout=1m30s",
      "-basicauth=false",
      "-v",
      "server",
      "-userpass=a:b",
      "-open",
      `-db=${db}`,
    ],
  ],
];

test.each(dbForms)("flags are taken as Go takes them: %s", async (_, args) => {
  expect(await statusFrom(args(), "GET", "/?list")).toBe(200);
});

const booleans: [string[], number][] = [
  [[], 204],
  [["-protect"], 403],
  [["--protect"], 403],
  [["-protect=true"], 403],
  [["-protect=1"], 403],
  [["-protect=false"], 204],
  [["--protect=false"], 204],
  [["-protect=true", "-protect=false"], 204],
];

test.each(booleans)("booleans are taken as Go takes them: %p", async (flags, status) => {
  await using folder = temporaryFolder();
  const db = join(folder.path, "index");
  await writeRecords(db, [["/kept", "localhost:1/sv00"]]);
  expect(await statusFrom([...flags, "-db", db, ...rest(), "server"], "DELETE", "/kept")).toBe(status);
});

test.each(["1s", "500ms", "1m30s", "1.5h", "100us", "2h45m"])("a duration of %s is taken", async (duration) => {
  expect(await statusFrom(["-voltimeout", duration, "-db", db, ...rest(), "server"], "GET", "/absent")).toBe(404);
});

const mistakes: [string, string[], RegExp][] = [
  ["an unknown flag", ["-db", "x", "-volumes", volumes, "-foo", "server"], /foo/],
  ["an unknown flag with a value", ["-db", "x", "-volumes", volumes, "--colour=red", "server"], /colour/],
  ["an unknown command", ["-db", "x", "-volumes", volumes, "serve"], /serve/],
  ["no command", ["-db", "x", "-volumes", volumes], /server/],
  ["two commands", ["-db", "x", "-volumes", volumes, "server", "rebuild"], /rebuild/],
  ["no -db", ["-volumes", volumes, "server"], /-db/],
  ["an empty -db", ["-db", "", "-volumes", volumes, "server"], /-db/],
  ["the root folder as -db", ["-db", "/", "-volumes", volumes, "server"], /-db is a folder of its own/],
  ["no -volumes", ["-db", "x", "server"], /-volumes/],
  ["empty -volumes", ["-db", "x", "-volumes", "", "server"], /-volumes/],
  ["a flag without its value", ["server", "-volumes", volumes, "-db"], /-db/],
  [
    "more replicas than volumes",
    ["-db", "x", "-volumes", volumes, "-replicas", "4", "server"],
    /replicas.*volumes|volumes.*replicas/,
  ],
  ["no replicas", ["-db", "x", "-volumes", volumes, "-replicas", "0", "server"], /replicas/],
  ["replicas that are no number", ["-db", "x", "-volumes", volumes, "-replicas", "many", "server"], /replicas/],
  ["no subvolumes", ["-db", "x", "-volumes", volumes, "-subvolumes", "0", "server"], /subvolumes/],
  ["half a subvolume", ["-db", "x", "-volumes", volumes, "-subvolumes", "1.5", "server"], /subvolumes/],
  ["a port that is no number", ["-db", "x", "-volumes", volumes, "-port", "http", "server"], /port/],
  ["a port out of range", ["-db", "x", "-volumes", volumes, "-port", "65536", "server"], /port/],
  ["a negative port", ["-db", "x", "-volumes", volumes, "-port=-1", "server"], /port/],
  ["a duration without a unit", ["-db", "x", "-volumes", volumes, "-voltimeout", "5", "server"], /voltimeout/],
  ["a duration that is none", ["-db", "x", "-volumes", volumes, "-voltimeout", "soon", "server"], /voltimeout/],
  ["a boolean that is neither", ["-db", "x", "-volumes", volumes, "-protect=maybe", "server"], /protect/],
  ["rebuild without -db", ["-volumes", volumes, "rebuild"], /-db[^\n]*indexdb\n$/],
  ["adopt without -db", ["adopt", "localhost:1/sv00"], /-db[^\n]*-master http/],
  ["adopt without names", ["-db", "x", "adopt"], /adopt needs names/],
  ["rebalance without -volumes", ["-db", "x", "rebalance"], /-volumes/],
  ["the usual port for metrics", ["-db", "x", "-volumes", volumes, "-adminport", "3000", "server"], /must differ/],
  [
    "one port for both dialects",
    ["-db", "x", "-volumes", volumes, "-port", "3004", "-s3port", "3004", "-s3keys", "y", "server"],
    /must differ/,
  ],
  ["-s3domain alone", ["-db", "x", "-volumes", volumes, "-s3domain", "s3.example", "server"], /-s3domain.*-s3port/],
];

test.each(mistakes)("%s is a mistake: one line that names it, exit code 2", async (_, args, naming) => {
  const outcome = await runMkv(args);
  expectRefusal(outcome, 2);
  expect(outcome.stderr).toMatch(naming);
});

test("a password on the command line is not repeated in a complaint about it", async () => {
  for (const args of [
    ["-userpass", "admin:hunter2", "-volumes", volumes, "rebuild"],
    ["-userpass=hunter2", "-foo", "rebalance"],
  ]) {
    const { exitCode, stdout, stderr } = await runMkv(args);
    expect([exitCode, (stdout + stderr).includes("hunter2")]).toEqual([2, false]);
  }
});

test("a port in use is one line and exit code 1", async () => {
  const server = createServer().listen(0);
  await new Promise((resolve) => server.once("listening", resolve));
  try {
    const port = String((server.address() as AddressInfo).port);
    const db = join(folder.path, "port");
    await writeRecords(db, []);
    const outcome = await runMkv(["-port", port, "-db", db, "-volumes", volumes, "server"]);
    expectRefusal(outcome, 1);
    expect(outcome.stderr).toContain(port);
  } finally {
    server.close();
  }
});

test("a server that makes a new index says so, and whom it could not ask whether that is right", async () => {
  const db = join(folder.path, "new");
  await using server = new RunningProcess({ command: mkv(["-db", db, ...rest(), "server"]) });
  await server.says(/listening on port \d+/);
  const events = eventsIn(server.stderr);
  const lines = events.slice(
    0,
    events.findIndex((text) => text.startsWith("listening on port ")),
  );
  const unknown = (volume: string) => `whether ${volume} has values is not known: it does not answer`;
  expect(lines).toEqual([
    ...volumes
      .split(",")
      .map((volume) => `there is no index at ${db}, and ${unknown(volume)}; if it has, run rebuild when it is back`),
    `a new index is made at ${db}`,
  ]);
});

test.each(["server", "rebuild", "rebalance"])(
  "%s on an index in use is one line and exit code 1, and the owner goes on",
  async (command) => {
    await using master = await startMaster({ db: join(folder.path, "owned"), volumes: volumes.split(",") });
    const outcome = await runMkv(["-port", "0", "-db", master.db, "-volumes", volumes, command]);
    expectRefusal(outcome, 1);
    expect(outcome.stderr).toContain(master.db);
    expect((await request(master.port, { target: "/?list" })).status).toBe(200);
  },
);

test("an index that cannot be made or read is one line and exit code 1", async () => {
  const file = join(folder.path, "file");
  await Bun.write(file, "not a folder");
  for (const path of [file, join(file, "below")]) {
    expectRefusal(await runMkv(["-port", "0", "-db", path, "-volumes", volumes, "server"]), 1);
  }
});

const FLAGS = [
  "db",
  "volumes",
  "port",
  "replicas",
  "subvolumes",
  "fallback",
  "protect",
  "md5sum",
  "voltimeout",
  "basicauth",
  "userpass",
  "v",
];

test.each(["--help", "-h", "-help", "help", "server --help", "server -h", "help server"])(
  "mkv %s names every flag",
  async (line) => {
    const { exitCode, stdout, stderr } = await runMkv(line.split(" "));
    expect([exitCode, stderr]).toEqual([0, ""]);
    for (const flag of FLAGS) expect(stdout).toMatch(new RegExp(`(^|[\\s,])--?${flag}\\b`, "m"));
  },
);

test("--version is the version of the package", async () => {
  const { version } = await Bun.file(join(CHECKOUT, "package.json")).json();
  for (const flag of ["--version", "-version", "version", "help version"]) {
    const { exitCode, stdout } = await runMkv(flag.split(" "));
    expect([exitCode, stdout.trim().split(/\s+/).at(-1)]).toEqual([0, version]);
  }
});
