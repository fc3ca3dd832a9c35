// A volume with a link key: it serves and changes nothing without a sum that only whoever knows the key can make.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, writeFileSync, chmodSync } from "node:fs";
import { join } from "node:path";
import { startMkvVolume } from "../durability/mkv-volume";
import { temporaryFolder, type Folder } from "../support/folder";
import { request } from "../support/http";
import { keyFile, linkTo, newKey, secondsFromNow, signed, type Said } from "../support/link-key";
import { basic, passwordFile } from "../support/password";
import { freePort } from "../support/ports";
import { RunningProcess } from "../support/process";
import { CHECKOUT, startVolume, type Volume } from "../support/volume";

setDefaultTimeout(30_000);
const PATH = "/sv00/ab/cd/a+b=~c";
const key = newKey();
let folder: Folder;
let volume: Volume;
beforeAll(async () => {
  folder = temporaryFolder();
  volume = await startVolume({ env: { LINK_KEY: keyFile(folder.path, { keys: [key] }) } });
});
afterAll(async () => {
  await volume[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const soon = () => secondsFromNow(60);
async function ask(port: number, method: string, target: string, headers: Record<string, string> = {}) {
  const answer = await request(port, { method, target, headers, ...(method === "PUT" && { body: "value" }) });
  return answer.status;
}
const ours = (method: string, target: string, headers = {}) => ask(volume.port, method, target, headers);
const put = (path = PATH) => ours("PUT", path, signed({ key, method: "PUT", path, until: soon() }));

test("nobody gets anything without a sum: no value, no listing, no change", async () => {
  expect(await put()).toBe(201);
  for (const method of ["GET", "HEAD", "PUT", "DELETE", "MOVE", "POST", "OPTIONS", "COPY", "PROPFIND"]) {
    for (const path of [PATH, "/", "/sv00/", "/absent", "/mkv/id", "/mkv/disks", "/.sync/"])
      expect([method, path, await ours(method, path, { Destination: "/sv00/ab/cd/x" })]).toEqual([method, path, 403]);
  }
  expect(existsSync(join(volume.dir, PATH))).toBe(true);
});

test("who is turned away still learns of the fence and the time at the root", async () => {
  const { headers } = await request(volume.port, { method: "HEAD", target: "/" });
  expect([headers.get("mkv-fence"), headers.get("date") !== null]).toEqual(["1", true]);
});

test("with a sum everything works: by headers", async () => {
  const path = "/sv00/ab/ce/value";
  const destination = "/sv00/staged/x";
  const until = soon();
  expect(await put(path)).toBe(201);
  for (const method of ["GET", "HEAD"]) {
    expect(await ours(method, path, signed({ key, path, until }))).toBe(200);
    expect(await ours(method, "/sv00/", signed({ key, path: "/sv00/", until }))).toBe(200);
  }
  expect(await ours("MOVE", path, signed({ key, method: "MOVE", path, until, destination }))).toBe(204);
  expect(await ours("DELETE", destination, signed({ key, method: "DELETE", path: destination, until }))).toBe(204);
});

test("a link is for a GET or HEAD of its value: whole, in part, with escapes in its path", async () => {
  expect(await put()).toBeOneOf([201, 204]);
  const link = linkTo({ key, path: PATH, until: soon() });
  const get = (target: string, headers = {}) => request(volume.port, { target, headers });
  expect((await get(link)).text).toBe("value");
  expect((await get(link, { Range: "bytes=1-2" })).text).toBe("al");
  expect(await ours("HEAD", link)).toBe(200);
  expect((await get(link.replace("+", "%2B").replace("~", "%7E"))).text).toBe("value");
  for (const method of ["PUT", "DELETE", "MOVE", "POST"])
    expect([method, await ours(method, link, { Destination: "/sv00/ab/cd/x" })]).toEqual([method, 403]);
  expect(existsSync(join(volume.dir, PATH))).toBe(true);
});

test("a link that is late, or was changed in any part, is refused: 403", async () => {
  expect(await put()).toBeOneOf([201, 204]);
  const said: Said = { key, path: PATH, until: soon() };
  const link = linkTo(said);
  const [path, query] = link.split("?") as [string, string];
  const wrong = [
    linkTo({ ...said, until: secondsFromNow(-2) }),
    linkTo({ ...said, key: newKey() }),
    linkTo({ ...said, key: "" }),
    linkTo({ ...said, method: "PUT" }),
    linkTo({ ...said, path: `${PATH}d` }).replace("cd?", "c?"),
    link.replace(/until=\d+/, `until=${said.until + 3600}`),
    link.replace(/until=\d+/, "until="),
    link.replace(/until=\d+&/, ""),
    link.replace(/sum=[^&]+/, "sum="),
    link.replace(/sum=(.)/, (_, c) => `sum=${c === "A" ? "B" : "A"}`),
    `/sv00/ab/cd/other?${query}`,
    `/sv00/ab/cd/?${query}`,
    `/?${query}`,
    path,
  ];
  for (const target of wrong) expect([target, await ours("GET", target)]).toEqual([target, 403]);
  expect(await ours("GET", link, { Destination: "/sv00/ab/cd/x" })).toBe(403);
  expect(await ours("GET", link, { "Mkv-Until": "1" })).toBe(403);
  expect(await ours("GET", link)).toBe(200);
});

test("what is signed by headers and comes late is told so: 412, and with another's sum: 403", async () => {
  const late = secondsFromNow(-2);
  for (const method of ["PUT", "DELETE", "GET"]) {
    expect(await ours(method, PATH, signed({ key, method, path: PATH, until: late }))).toBe(412);
    for (const other of [newKey(), ""])
      expect(await ours(method, PATH, signed({ key: other, method, path: PATH, until: soon() }))).toBe(403);
  }
});

test("while keys change, both lines of the file are accepted, and no third", async () => {
  const [first, second] = [newKey(), newKey()];
  const file = keyFile(folder.path, { name: "two.key", keys: [first, second] });
  await using both = await startVolume({ env: { LINK_KEY: file } });
  for (const each of [first, second]) {
    const path = PATH;
    expect(await ask(both.port, "PUT", path, signed({ key: each, method: "PUT", path, until: soon() }))).toBeOneOf([
      201, 204,
    ]);
    expect(await ask(both.port, "GET", linkTo({ key: each, path, until: soon() }))).toBe(200);
  }
  expect(await ask(both.port, "GET", linkTo({ key, path: PATH, until: soon() }))).toBe(403);
  expect(await ask(both.port, "GET", linkTo({ key: "", path: PATH, until: soon() }))).toBe(403);
});

test("with AUTH as well, either a password or a sum does", async () => {
  const login = { user: "admin", password: "secret" };
  const env = { LINK_KEY: keyFile(folder.path, { keys: [key] }) };
  await using both = await startMkvVolume({ auth: passwordFile(folder.path, login), env });
  const right = { Authorization: basic(login) };
  const wrong = { Authorization: basic({ ...login, password: "guess" }) };
  const until = soon();
  expect(await ask(both.port, "PUT", PATH, right)).toBe(201);
  expect(await ask(both.port, "PUT", PATH, signed({ key, method: "PUT", path: PATH, until }))).toBe(204);
  for (const headers of [{}, wrong]) {
    expect(await ask(both.port, "GET", PATH, headers)).toBe(401);
    expect(await ask(both.port, "DELETE", PATH, headers)).toBe(401);
    expect(await ask(both.port, "GET", linkTo({ key, path: PATH, until }), headers)).toBe(200);
    expect(await ask(both.port, "GET", linkTo({ key, path: PATH, until: secondsFromNow(-2) }), headers)).toBe(401);
    expect(await ask(both.port, "GET", "/mkv/disks", headers)).toBe(401);
    expect(await both.sync(PATH, headers)).toBe(401);
  }
  expect(await ask(both.port, "GET", PATH, right)).toBe(200);
  expect(await both.sync(PATH, right)).toBe(204);
  expect(await both.sync(PATH, signed({ key, method: "POST", path: `/.sync${PATH}`, until }))).toBe(204);
  expect(await ask(both.port, "GET", "/mkv/disks", signed({ key, path: "/mkv/disks", until }))).toBe(200);
});

test("with a password alone, the sum of the fence, which anybody can make, lets nobody in", async () => {
  const auth = passwordFile(folder.path, { user: "admin", password: "secret" });
  await using closed = await startVolume({ auth });
  for (const method of ["GET", "PUT", "DELETE"]) {
    expect(await ask(closed.port, method, PATH, signed({ key: "", method, path: PATH, until: soon() }))).toBe(401);
  }
  expect(await ask(closed.port, "GET", linkTo({ key: "", path: PATH, until: soon() }))).toBe(401);
});

const good = newKey();
const files: [string, string, number, RegExp][] = [
  ["everybody can read", `${good}\n`, 0o644, /chmod o-r/],
  ["is too short", `${good.slice(0, 31)}\n`, 0o600, /at least 32/],
  ["is empty", "", 0o600, /one line/],
  ["has three lines", `${good}\n${good}\n${good}\n`, 0o600, /one line/],
  ["says more to nginx than a key", `${good}"; default "\n`, 0o600, /letters and digits/],
  ["has a variable of nginx", `$arg_sum${good}\n`, 0o600, /letters and digits/],
];

test.each(files)("a key file that %s is refused in one line", async (_, text, mode, why) => {
  const file = keyFile(folder.path, { name: "wrong.key", keys: [good] });
  writeFileSync(file, text);
  chmodSync(file, mode);
  const env = { PORT: String(await freePort()), LINK_KEY: file };
  await using process = new RunningProcess({ command: [join(CHECKOUT, "volume"), join(folder.path, "v")], env });
  expect(await process.exited).toBe(1);
  expect(process.stderr).toMatch(/^volume: LINK_KEY=[^\n]*\n$/);
  expect(process.stderr).toMatch(why);
  expect(process.stderr).not.toContain(good.slice(0, 31));
});
