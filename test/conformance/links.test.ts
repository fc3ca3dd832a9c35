// A store whose volumes serve what the master has signed, and nothing else.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startMkvVolume } from "../durability/mkv-volume";
import { startCluster, type Cluster } from "../support/cluster";
import { startFaultyVolume } from "../support/faulty";
import { temporaryFolder, type Folder } from "../support/folder";
import { follow, request, target } from "../support/http";
import { keyFile, newKey, secondsFromNow } from "../support/link-key";
import { runMkv, startMaster } from "../support/master";
import { basic } from "../support/password";
import { until } from "../support/until";
import { targetOf, valueOf } from "../support/values";

setDefaultTimeout(60_000);
const login = { user: "admin", password: "s3cr:et" };
const right = { Authorization: basic(login) };
const userPass = `${login.user}:${login.password}`;
const key = newKey();
let folder: Folder;
let file: string;
let cluster: Cluster;

beforeAll(async () => {
  folder = temporaryFolder();
  file = keyFile(folder.path, { keys: [key] });
  const flags = ["-basicauth", "-linkkey", file, "-replicas", "2", "-v"];
  cluster = await startCluster({ login, flags, volumeEnv: { LINK_KEY: file } });
  expect((await cluster.ask("PUT", "/kept", { headers: right, body: "kept" })).status).toBe(201);
});
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const locationOf = async (path: string) =>
  (await cluster.ask("GET", path, { headers: right })).headers.get("location") ?? "";

test("a redirect is a link that holds for an hour, with no password in it, and serves to whoever has it", async () => {
  const location = await locationOf("/kept");
  expect(location).toMatch(/^http:\/\/localhost:\d+\/[^?@]+\?until=\d+&sum=[A-Za-z0-9_-]{22}&key=[0-9a-f]{8}$/);
  const last = Number(/until=(\d+)/.exec(location)![1]);
  expect(last).toBeGreaterThan(secondsFromNow(3600 - 400));
  expect(last).toBeLessThan(secondsFromNow(3600 + 5));
  const { port, path } = target(location);
  expect((await request(port, { target: path })).text).toBe("kept");
  expect((await request(port, { target: path.split("?")[0]! })).status).toBe(401);
  expect((await request(port, { method: "DELETE", target: path })).status).toBe(401);
});

const clients: [string, string[]][] = [
  ["curl -L --user", ["curl", "-sL", "--user", userPass]],
  ["curl --location-trusted", ["curl", "-s", "--location-trusted", "--user", userPass]],
  ["wget", ["wget", "-qO-", "--auth-no-challenge", `--user=${login.user}`, `--password=${login.password}`]],
  ["wget that is asked for a password", ["wget", "-qO-", `--user=${login.user}`, `--password=${login.password}`]],
];

const installed = clients.filter(([, [program]]) => Bun.which(program!));
if (installed.length < clients.length) console.log("skipped: what wget gets (it is not installed)");

test.each(installed)("%s gets a value", async (_, command) => {
  const { stdout, exitCode } = Bun.spawnSync([...command, `${cluster.master.url}/kept`]);
  expect([exitCode, stdout.toString()]).toEqual([0, "kept"]);
});

test("a browser, which sends no password to another host, gets a value", async () => {
  const answer = await fetch(`${cluster.master.url}/kept`, { headers: right });
  expect([answer.status, await answer.text()]).toEqual([200, "kept"]);
});

const keys = ["/a b", "/ü/?%", `/${"long".repeat(200)}`, "/\xff\xfe~~", "/???>>>", "/a//b"];

test.each(keys)("a value of any length under any key can be written, read, ranged and deleted: %j", async (name) => {
  const path = targetOf(name);
  for (const body of [Buffer.from("short"), valueOf(name, 700_000)]) {
    expect((await cluster.ask("PUT", path, { headers: right, body })).status).toBe(201);
    const answer = await cluster.ask("GET", path, { headers: right });
    expect((await follow(answer)).body.equals(body)).toBe(true);
    expect((await follow(answer, { headers: { Range: "bytes=1-3" } })).body.equals(body.subarray(1, 4))).toBe(true);
    expect((await follow(answer, { method: "HEAD" })).status).toBe(200);
    expect((await cluster.ask("DELETE", path, { headers: right })).status).toBe(204);
  }
});

test("the key and the password are in no output of the master, though it logs every request", () => {
  const { output } = cluster.master;
  expect(output).toContain("/kept");
  for (const secret of [key, "s3cr", right.Authorization.slice(6)]) expect(output).not.toContain(secret);
});

test("jobs get in with the key, and without it or with another they say what is missing, and change nothing", async () => {
  const common = ["-volumes", cluster.addresses.join(","), "-replicas", "2"];
  const master = ["-master", cluster.master.url, "-userpass", userPass];
  const other = keyFile(folder.path, { name: "other.key", keys: [newKey()] });
  const jobs = [["rebalance"], ["-md5", "verify"], ["adopt", `${cluster.addresses[0]}/sv00`]];
  for (const job of jobs)
    expect(await runMkv(["-linkkey", file, ...common, ...master, ...job])).toMatchObject({ exitCode: 0 });
  const db = join(folder.path, "rebuilt");
  for (const wrong of [[], ["-linkkey", other]]) {
    const { exitCode, stderr } = await runMkv([...wrong, ...common, "-db", db, "rebuild"]);
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/40[13]\)[^\n]*LINK_KEY[^\n]*-linkkey/)]);
  }
  expect(await runMkv(["-linkkey", file, ...common, "-db", db, "rebuild"])).toMatchObject({ exitCode: 0 });
});

test("a link is over when its time is", async () => {
  await using short = await startCluster({
    volumes: 1,
    flags: ["-replicas", "1", "-linkkey", file, "-linkttl", "1s"],
    volumeEnv: { LINK_KEY: file },
  });
  await short.store("/short");
  const answer = await short.ask("GET", "/short");
  expect((await follow(answer)).status).toBe(200);
  const over = async () => (await follow(answer)).status === 403;
  await until(over, { what: "the link is over", deadlineMs: 15_000 });
  expect((await follow(await short.ask("GET", "/short"))).status).toBe(200);
});

test("keys change while all runs: volumes know both, then the master signs with the new one, then the old one goes", async () => {
  const [old, young] = [newKey(), newKey()];
  const volumesFile = keyFile(folder.path, { name: "volumes.key", keys: [old] });
  const mastersFile = keyFile(folder.path, { name: "master.key", keys: [old] });
  const flags = ["-replicas", "3", "-linkkey", mastersFile];
  await using changing = await startCluster({ flags, volumeEnv: { LINK_KEY: volumesFile } });
  await changing.store("/value", "value");
  const works = async () => {
    const answer = await follow(await changing.ask("GET", "/value"));
    const put = await changing.ask("PUT", `/${crypto.randomUUID()}`, { body: "x" });
    return `${answer.text} ${put.status}`;
  };
  const nowIs = async (name: string, of: string[]) => {
    keyFile(folder.path, { name, keys: of });
    if (name === "master.key") await changing.startMaster();
    else for (const volume of changing.volumes) await volume.restart();
    await changing.recovered();
    expect(await works()).toBe("value 201");
  };
  expect(await works()).toBe("value 201");
  await nowIs("volumes.key", [old, young]);
  await nowIs("master.key", [young, old]);
  await nowIs("volumes.key", [young]);
});

test("a master with another key writes nothing, and says why", async () => {
  const other = keyFile(folder.path, { name: "other.key", keys: [newKey()] });
  const flags = ["-replicas", "1", "-linkkey", other];
  await using locked = await startCluster({ volumes: 1, flags, volumeEnv: { LINK_KEY: file } });
  const { status, text } = await locked.ask("PUT", "/x", { body: "x" });
  expect([status, text]).toEqual([503, expect.stringMatching(/403[^\n]*-linkkey/)]);
  expect(locked.remains()).toEqual([]);
});

test("a volume that refuses the key is not told to lack its sync service, which it has", async () => {
  await using locked = await startMkvVolume({ env: { LINK_KEY: file } });
  const other = keyFile(folder.path, { name: "other.key", keys: [newKey()] });
  for (const wrong of [[], ["-linkkey", other]]) {
    const db = join(folder.path, crypto.randomUUID());
    const flags = ["-sync", "-replicas", "1", "-port", "0", "-db", db, "-volumes", locked.address];
    const { exitCode, stderr } = await runMkv([...flags, ...wrong, "server"]);
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/\nmkv: [^\n]*403[^\n]*LINK_KEY[^\n]*\n$/)]);
    expect(stderr).not.toContain("sync service");
  }
});

test("a master says once of a volume without a fence that the key does not protect it", async () => {
  await using plain = await startFaultyVolume(() => ({ does: "answer", status: 200 }));
  await using master = await startMaster({ volumes: [plain.address], flags: ["-replicas", "1", "-linkkey", file] });
  await until(() => plain.seen.length > 5, { what: "it was asked a few times" });
  const lines = master.output.split("\n").filter((line) => line.includes("-linkkey"));
  expect(lines).toEqual([expect.stringContaining(`warn ${plain.address} pays no heed to -linkkey`)]);
});

const good = newKey();
const files: [string, string | undefined, number][] = [
  ["everybody can read", `${good}\n`, 0o604],
  ["is too short", `${good.slice(0, 31)}\n`, 0o600],
  ["has three lines", `${good}\n${good}\n${good}\n`, 0o600],
  ["is not there", undefined, 0o600],
];

test.each(files)("a key file that %s is refused in one line", async (_, text, mode) => {
  const path = join(folder.path, text === undefined ? "none" : "wrong.key");
  if (text !== undefined) {
    writeFileSync(path, text);
    chmodSync(path, mode);
  }
  const flags = ["-linkkey", path, "-volumes", "localhost:1", "-replicas", "1", "-db", join(folder.path, "db")];
  const { exitCode, stderr } = await runMkv([...flags, "server"]);
  expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/^mkv: -linkkey [^\n]*\n$/)]);
  expect(stderr).not.toContain(good.slice(0, 31));
});
