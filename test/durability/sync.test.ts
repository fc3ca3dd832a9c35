// The sync service that `mkv volume` runs beside nginx, asked by way of nginx.
import { expect, setDefaultTimeout, test } from "bun:test";
import { chownSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../support/folder";
import { filesOn } from "../support/files";
import { request } from "../support/http";
import { basic, passwordFile } from "../support/password";
import { until } from "../support/until";
import { startMkvVolume, type MkvVolume } from "./mkv-volume";
import { Trace, whyNoTrace } from "./trace";

setDefaultTimeout(60_000);
const why = await whyNoTrace();
if (why) console.log(`skipped: what is really synced, since system calls cannot be seen here (${why})`);
const testTraced = test.skipIf(why !== undefined);

const PATH = "/sv00/5d/41/aGVsbG8=";
const FOLDERS = ["/sv00/5d/41", "/sv00/5d", "/sv00", ""];

async function put(volume: MkvVolume, path: string, headers: Record<string, string> = {}): Promise<void> {
  const answer = await request(volume.port, { method: "PUT", target: path, body: "value", headers });
  expect(answer.status).toBe(201);
}

const places: [string, string][] = [
  ["with subvolumes", PATH],
  ["without subvolumes", "/5d/41/aGVsbG8="],
  ["below a path", "/data.d/store-1/sv1F/5d/41/aGVsbG8="],
  ["of every character that a path has", `/sv00/00/ff/+az09+AZ/~/${"x".repeat(254)}~/a==`],
];

test.each(places)("a value that is there is confirmed, one that is not is denied: %s", async (_, path) => {
  await using volume = await startMkvVolume();
  expect(await volume.sync(path)).toBe(410);
  await put(volume, path);
  expect(await volume.sync(path)).toBe(204);
  expect((await request(volume.port, { method: "DELETE", target: path })).status).toBe(204);
  expect(await volume.sync(path)).toBe(410);
  expect(filesOn(volume.dir)).toEqual([]);
});

test("what would lie below a value is not there", async () => {
  await using volume = await startMkvVolume();
  await put(volume, PATH);
  expect(await volume.sync(`${PATH}/more`)).toBe(410);
});

test("whether there is a sync service can be asked of an empty volume", async () => {
  await using volume = await startMkvVolume();
  expect(await volume.sync("/")).toBe(204);
});

testTraced("a value is confirmed when the file and then each folder above it have been synced", async () => {
  await using volume = await startMkvVolume();
  await put(volume, PATH);
  await using trace = await Trace.of(volume.mkv.pid);
  expect(await volume.sync(PATH)).toBe(204);
  await trace.sees(5);
  expect(trace.synced()).toEqual([PATH, ...FOLDERS].map((path) => volume.dir + path));
});

testTraced("a value is denied when each folder that is above it has been synced", async () => {
  await using volume = await startMkvVolume();
  await put(volume, PATH);
  expect((await request(volume.port, { method: "DELETE", target: PATH })).status).toBe(204);
  await using trace = await Trace.of(volume.mkv.pid);
  expect(await volume.sync(PATH)).toBe(410);
  expect(await volume.sync("/sv00/00/00/never")).toBe(410);
  await trace.sees(6);
  expect(trace.synced()).toEqual([...FOLDERS, "/sv00", ""].map((path) => volume.dir + path));
});

testTraced("where the disk fails, for the file or for a folder, nothing is confirmed", async () => {
  await using volume = await startMkvVolume();
  await put(volume, PATH);
  for (const failing of [PATH, ...FOLDERS]) {
    await using _trace = await Trace.of(volume.mkv.pid, { fails: volume.dir + failing });
    expect(`${failing}: ${await volume.sync(PATH)}`).toBe(`${failing}: 500`);
  }
  expect(await volume.sync(PATH)).toBe(204);
  const [, ...lines] = volume.output.trim().split("\n"); // The first says that it listens.
  expect(lines.length).toBe(5);
  for (const line of lines) expect(line).toMatch(/cannot sync \/sv00\/5d\/41\/aGVsbG8=: .*EIO/);
});

test("hundreds who ask at once are all answered", async () => {
  await using volume = await startMkvVolume();
  await Promise.all(Array.from({ length: 100 }, (_, i) => put(volume, `/sv00/5d/41/${i}`)));
  const sync = async (path: string): Promise<number> => {
    const status = await volume.sync(path);
    return status === 502 ? await sync(path) : status; // The queue of the socket is full: masters ask again, too.
  };
  const asked = Array.from({ length: 600 }, (_, i) => sync(`/sv00/5d/41/${i % 200}`));
  const expected = Array.from({ length: 600 }, (_, i) => (i % 200 < 100 ? 204 : 410));
  expect(await Promise.all(asked)).toEqual(expected);
});

testTraced("those who ask at once share the syncs of their folders", async () => {
  await using volume = await startMkvVolume();
  await Promise.all(Array.from({ length: 300 }, (_, i) => put(volume, `/sv00/5d/41/${i}`)));
  await using trace = await Trace.of(volume.mkv.pid);
  await Promise.all(Array.from({ length: 300 }, (_, i) => volume.sync(`/sv00/5d/41/${i}`)));
  await trace.sees(300);
  const synced = trace.synced();
  for (let i = 0; i < 300; i++) expect(synced).toContain(`${volume.dir}/sv00/5d/41/${i}`);
  for (const folder of FOLDERS) {
    expect(synced.filter((path) => path === volume.dir + folder).length).toBeLessThan(100);
  }
});

const outside: [string, string][] = [
  ["dots", "/../outside"],
  ["dots in the middle", "/sv00/5d/../../../outside"],
  ["encoded dots", "/%2e%2e/outside"],
  ["half encoded dots", "/.%2e/outside"],
  ["an encoded slash", "/..%2Foutside"],
  ["a doubly encoded one", "/%252e%252e%252foutside"],
  ["backslashes", "/sv00\\..\\..\\outside"],
  ["encoded backslashes", "/..%5coutside"],
  ["an absolute path", "//etc/passwd"],
  ["a URL", "/file:///etc/passwd"],
  ["an empty name", "/sv00//5d"],
  ["an empty name at the end", "/sv00/"],
  ["a name with a dot in front", "/.mkv/nginx.conf"],
  ["one further down", "/sv00/.hidden"],
  ["a NUL", "/sv00/a%00b"],
  ["a space", "/sv00/a%20b"],
  ["a byte that is no letter", "/sv00/\xff"],
  ["a query", "/sv00?x=1"],
];

test.each(outside)("no path leads out of the folder: %s", async (_, path) => {
  await using folder = temporaryFolder();
  writeFileSync(join(folder.path, "outside"), "not a value");
  await using volume = await startMkvVolume({ dir: join(folder.path, "volume") });
  await put(volume, PATH);
  const status = await volume.sync(path);
  expect([400, 403, 404, 405, 414]).toContain(status);
  expect(volume.output).not.toContain("cannot sync"); // Refused as a path, not taken for a failure of the disk.
  expect(await volume.sync(PATH)).toBe(204);
});

test.each([`/sv00/${"a".repeat(256)}`, `/${"a/".repeat(2_500)}a`])(
  "a path too long for any file is none: %.30s",
  async (path) => {
    await using volume = await startMkvVolume();
    expect([400, 410, 414]).toContain(await volume.sync(path));
    await until(() => volume.output.includes("\n"), { what: "it says that it listens" });
    expect(volume.output).toMatch(/^[^\n]*listening[^\n]*\n$/);
  },
);

test.each(["/sv00/5d/41/link", "/sv00/5d/folder/secret"])("no link leads out of the folder: %s", async (path) => {
  await using folder = temporaryFolder();
  writeFileSync(join(folder.path, "secret"), "not a value");
  await using volume = await startMkvVolume({ dir: join(folder.path, "volume") });
  await put(volume, PATH);
  symlinkSync(join(folder.path, "secret"), join(volume.dir, "sv00/5d/41/link"));
  symlinkSync(folder.path, join(volume.dir, "sv00/5d/folder"));
  expect(await volume.sync(path)).not.toBe(204);
});

test("a disk may be a link to where it is mounted", async () => {
  await using folder = temporaryFolder();
  const dir = join(folder.path, "volume");
  for (const name of ["volume", "disk"]) mkdirSync(join(folder.path, name));
  symlinkSync(join(folder.path, "disk"), join(dir, "sv00"));
  if (process.getuid!() === 0) chownSync(join(folder.path, "disk"), 65534, 65534); // nobody's, who will serve it
  await using volume = await startMkvVolume({ dir });
  await put(volume, PATH);
  expect(await volume.sync(PATH)).toBe(204);
  expect(filesOn(join(folder.path, "disk")).length).toBe(1);
});

test.each(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])("%s syncs nothing and does nothing", async (method) => {
  await using volume = await startMkvVolume();
  await put(volume, PATH);
  for (const path of [PATH, "/sv00/5d/41/new"]) {
    const ask = { method, target: `/.sync${path}`, ...(method === "PUT" && { body: "x" }) };
    expect([403, 405]).toContain((await request(volume.port, ask)).status);
  }
  expect(filesOn(volume.dir).map((file) => file.path)).toEqual([PATH.slice(5)]);
});

test("nobody without the password is told what is there", async () => {
  await using folder = temporaryFolder();
  const login = { user: "admin", password: "secret" };
  await using volume = await startMkvVolume({ auth: passwordFile(folder.path, login) });
  const right = { Authorization: basic(login) };
  await put(volume, PATH, right);
  const wrong = { Authorization: basic({ ...login, password: "guess" }) };
  for (const path of [PATH, "/absent", "/"]) {
    expect([await volume.sync(path), await volume.sync(path, wrong)]).toEqual([401, 401]);
  }
  expect([await volume.sync(PATH, right), await volume.sync("/absent", right)]).toEqual([204, 410]);
});
