import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { temporaryFolder } from "../support/folder";
import { follow, head, dial, request, target } from "../support/http";
import { keyFile, newKey } from "../support/link-key";
import { mkv, runMkv, startMaster } from "../support/master";
import { basic, passwordFile } from "../support/password";
import { RunningProcess } from "../support/process";
import { startVolume } from "../support/volume";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const login = { user: "admin", password: "s3cr et:p@ss/wörd?" };
const right = { Authorization: basic(login) };
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster({ login, flags: ["-basicauth", "-v"] });
  expect((await cluster.ask("PUT", "/kept", { headers: right, body: "kept" })).status).toBe(201);
});
afterAll(() => cluster[Symbol.asyncDispose]());

const requests: [method: string, target: string][] = [
  ["GET", "/kept"],
  ["HEAD", "/kept"],
  ["GET", "/absent"],
  ["PUT", "/new"],
  ["PUT", "/kept"],
  ["DELETE", "/kept"],
  ["UNLINK", "/kept"],
  ["GET", "/?list"],
  ["GET", "/?unlinked"],
  ["GET", "/kept?other"],
  ["POST", "/kept?rebalance"],
  ["POST", "/kept"],
  ["PATCH", "/kept"],
  ["OPTIONS", "/kept"],
];

const { user, password } = login;
const encoded = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;
const wrong: [string, Record<string, string>][] = [
  ["no credentials", {}],
  ["a wrong password", { Authorization: basic({ user, password: "guess" }) }],
  ["an unknown user", { Authorization: basic({ user: "nobody", password }) }],
  ["an empty password", { Authorization: basic({ user, password: "" }) }],
  ["an empty header", { Authorization: "" }],
  ["the scheme alone", { Authorization: "Basic" }],
  ["what is no Base64", { Authorization: "Basic !!!" }],
  ["a name without a password", { Authorization: encoded("admin") }],
  ["another scheme", { Authorization: `Bearer ${encoded(`${user}:${password}`).slice(6)}` }],
  ["the right credentials and more", { Authorization: encoded(`${user}:${password}x`) }],
  ["a zero byte after the right credentials", { Authorization: encoded(`${user}:${password}\0`) }],
  ["line breaks in it", { Authorization: encoded(`${user}:guess\r\nX-Evil: 1`) }],
];

test.each(wrong)("nobody gets in with %s, whatever is asked", async (_, headers) => {
  for (const [method, what] of requests) {
    const answer = await cluster.ask(method, what, { headers, ...(method === "PUT" && { body: "intruder" }) });
    expect(`${method} ${what} ${answer.status}`).toBe(`${method} ${what} 401`);
    expect(answer.headers.get("www-authenticate")).toMatch(/^Basic( |$)/);
    expect(answer.headers.get("location")).toBeNull();
    if (method !== "HEAD") expect(answer.text).toMatch(/^[^\n]{5,}\n?$/);
  }
  expect((await follow(await cluster.ask("GET", "/kept", { headers: right }))).text).toBe("kept");
  expect((await cluster.ask("GET", "/new", { headers: right })).status).toBe(404);
});

test("with the right credentials everything works", async () => {
  const ask = (method: string, what: string, body?: string) =>
    cluster.ask(method, what, { headers: right, ...(body && { body }) });
  expect((await ask("PUT", "/mine", "mine")).status).toBe(201);
  expect((await ask("PUT", "/mine", "mine")).status).toBe(403);
  expect(JSON.parse((await ask("GET", "/mine?list")).text).keys).toEqual(["/mine"]);
  expect((await ask("POST", "/mine?rebalance")).status).toBe(204);
  expect((await follow(await ask("GET", "/mine"))).text).toBe("mine");
  expect((await ask("UNLINK", "/mine")).status).toBe(204);
  expect((await ask("DELETE", "/mine")).status).toBe(204);
  expect((await ask("PATCH", "/mine")).status).toBe(405);
});

test("the name of the scheme is read in any case", async () => {
  const headers = { Authorization: right.Authorization.replace("Basic", "bAsIc") };
  expect((await cluster.ask("GET", "/kept", { headers })).status).toBe(302);
});

test("a redirect carries the credentials, percent-encoded, for clients that take them from there", async () => {
  const answer = await cluster.ask("GET", "/kept", { headers: right });
  const { login: carried, port, path } = target(answer.headers.get("location")!);
  expect(carried).toMatch(/^[A-Za-z0-9._~%!$'()*-]+:[A-Za-z0-9._~%!$'()*-]+$/);
  expect(decodeURIComponent(carried!)).toBe(`${user}:${password}`);
  expect((await request(port, { target: path })).status).toBe(401);
});

test("curl gets a value with --location-trusted", async () => {
  const curl = ["curl", "-s", "--location-trusted", "--user", `${user}:${password}`, `${cluster.master.url}/kept`];
  expect(await Bun.spawn(curl, { stdout: "pipe" }).stdout.text()).toBe("kept");
});

test("an intruder who waits for 100-continue is turned away before the value is sent", async () => {
  using wire = await dial(cluster.master.port);
  const headers = { Expect: "100-continue", "Content-Length": "1000000" };
  wire.write(head({ method: "PUT", target: "/big", headers }, { close: true }));
  expect((await wire.answer()).status).toBe(401);
});

test("the password is in no output of the master, though it logs every request", async () => {
  const { output } = cluster.master;
  expect(output).toContain("/kept"); // It does log.
  expect(output).not.toContain("s3cr");
  expect(output).not.toContain(encodeURIComponent(password));
  expect(output).not.toContain(right.Authorization.slice(6, 20));
});

test("volumes that ask nobody for a password are no proof: 503 with the reason", async () => {
  await using open = await startCluster({ flags: ["-basicauth"] });
  for (const [method, what] of requests) {
    const answer = await open.ask(method, what, { headers: right, ...(method === "PUT" && { body: "x" }) });
    expect(`${method} ${what} ${answer.status}`).toBe(`${method} ${what} 503`);
    if (method !== "HEAD") expect(answer.text).toMatch(/^[^\n]*authoriz[^\n]*\n?$/i);
  }
  expect([401, 503]).toContain((await open.ask("GET", "/absent")).status);
});

test("one volume that was started without AUTH lets nobody in with a wrong password", async () => {
  await using folder = temporaryFolder();
  await using closed = await startVolume({ auth: passwordFile(folder.path, login) });
  await using open = await startVolume();
  await using master = await startMaster({
    volumes: [open.address, closed.address],
    flags: ["-basicauth", "-replicas", "1"],
  });
  for (let i = 0; i < 10; i++) {
    const headers = { Authorization: basic({ user: `guess${i}`, password: "x" }) };
    expect([401, 503]).toContain((await request(master.port, { target: "/?list", headers })).status);
  }
});

test("while no volume can tell, nobody gets in: 503", async () => {
  await using cut = await startCluster({ login, flags: ["-basicauth"] });
  await Promise.all(cut.volumes.map((volume) => volume.kill()));
  for (const [method, what] of requests) {
    const answer = await cut.ask(method, what, { headers: right, ...(method === "PUT" && { body: "x" }) });
    expect(`${method} ${what} ${answer.status}`).toBe(`${method} ${what} 503`);
  }
});

test("one volume is enough to check credentials", async () => {
  await using cut = await startCluster({ login, flags: ["-basicauth"] });
  await Promise.all(cut.volumes.slice(1).map((volume) => volume.kill()));
  expect((await cut.ask("GET", "/?list", { headers: right })).status).toBe(200);
  expect((await cut.ask("GET", "/?list", { headers: wrong[1]![1] })).status).toBe(401);
});

test("a server that has a password for the volumes and asks for none is refused, unless it is meant to be open", async () => {
  await using folder = temporaryFolder();
  const args = ["-port", "0", "-db", join(folder.path, "index"), "-volumes", "localhost:1", "-replicas", "1", "server"];
  const env = { MKV_USERPASS: "admin:hunter2" };
  for (const outcome of [await runMkv([...args, "-userpass=admin:hunter2"]), await runMkv(args, { env })]) {
    expect([outcome.exitCode, outcome.stdout]).toEqual([2, ""]);
    expect(outcome.stderr).toMatch(/^mkv: .*-userpass.*add -basicauth or -linkkey, or -open.*\n$/);
    expect(outcome.stderr).not.toContain("hunter2");
  }
  for (const flags of [["-open"], ["-basicauth"], ["-linkkey", keyFile(folder.path, { keys: [newKey()] })]]) {
    await using server = new RunningProcess({ command: mkv([...args, ...flags]), env });
    await server.says(/listening on port \d+/);
  }
});
