// What a volume lets be changed: values and ids, in the places where they live, and nothing else, whoever asks.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { temporaryFolder } from "../support/folder";
import { request } from "../support/http";
import { passwordFile, basic } from "../support/password";
import { startVolume, type Volume } from "../support/volume";

setDefaultTimeout(30_000);
const VALUE = "/sv00/ab/cd/a+b=~c";
let volume: Volume;
beforeAll(async () => void (volume = await startVolume()));
afterAll(async () => await volume[Symbol.asyncDispose]());

const ask = (method: string, target: string, headers: Record<string, string> = {}) =>
  request(volume.port, { method, target, headers, ...(method === "PUT" && { body: "value" }) });
const status = async (method: string, target: string, headers = {}) => (await ask(method, target, headers)).status;
const everything = () => readdirSync(volume.dir, { recursive: true }).map(String).sort();

const places = [
  VALUE,
  "/ab/cd/L3g=",
  "/store-1/data.d/sv0A/ab/cd/L3g=",
  "/sv00/ab/cd/~/a/~",
  `/sv1F/00/ff/${"x".repeat(254)}~/y`,
  "/mkv/id",
  "/sv00/mkv/id",
  "/store/mkv/id",
  "/sv00/damaged/ab/cd/L3g=",
  "/damaged/ab/cd/L3g=",
  "/sv00/staged/0f3e-12.part",
];

test.each(places)("a place where values or ids live can be written, moved to and emptied: %s", async (place) => {
  expect(await status("PUT", place)).toBe(201);
  expect(await status("MOVE", place, { Destination: "/sv05/staged/aside" })).toBe(204);
  expect(await status("MOVE", "/sv05/staged/aside", { Destination: place })).toBe(204);
  expect(readFileSync(join(volume.dir, place), "utf8")).toBe("value");
  expect(await status("DELETE", place)).toBe(204);
});

const elsewhere = [
  "/",
  "/index.html",
  "/sv00",
  "/sv00/",
  "/sv00/ab",
  "/sv00/ab/cd",
  "/sv00/ab/cd/",
  "/sv00/ab/cd/x/",
  "/sv00/ab/cd/../../zz",
  "/sv00/ab/cd/..%2f..%2fzz",
  "/sv00/ab/cd/.hidden",
  "/sv00/ab/cd/x%0a",
  "/sv00/ab/cd/a%20b",
  "/sv00/ab/cd/index.html/",
  "/sv00/AB/CD/x",
  "/sv00/abc/cd/x",
  "/mkv",
  "/mkv/",
  "/mkv/id/x",
  "/mkv/disks",
  "/mkv/other",
  "/damaged",
  "/damaged/",
  "/staged/",
  "/.mkv/body/0000000001",
  "/.mkv/ab/cd/x",
  "/lost+found/x",
];

test.each(elsewhere)("nothing else can be written, removed or moved: %j", async (place) => {
  expect(await status("PUT", VALUE)).toBeOneOf([201, 204]);
  const before = everything();
  for (const method of ["PUT", "DELETE", "MOVE", "MKCOL", "COPY", "PATCH"]) {
    const headers = { Destination: "/sv00/ab/cd/stolen", Depth: "infinity" };
    expect(`${method} ${await status(method, place, headers)}`).toMatch(/ (400|403|404|405)$/);
  }
  expect(everything()).toEqual(before);
});

const destinations = elsewhere.concat([
  "",
  "sv00/ab/cd/x",
  "//sv00/ab/cd/x",
  "/sv00//ab/cd/x",
  "/sv00/ab/cd/%78",
  "/sv00/ab/cd/x?a",
  "http://localhost/sv00/ab/cd/x",
  "http://localhost/index.html",
  "/sv00/ab/cd/\xff",
]);

test.each(destinations)("a move leads to no other place: %j", async (destination) => {
  expect(await status("PUT", VALUE)).toBeOneOf([201, 204]);
  const before = everything();
  expect(await status("MOVE", VALUE, { Destination: destination, Overwrite: "T" })).toBeOneOf([400, 405]);
  expect(everything()).toEqual(before);
});

test("a move without a destination is refused, and so is a copy", async () => {
  expect(await status("PUT", VALUE)).toBeOneOf([201, 204]);
  expect(await status("MOVE", VALUE)).toBe(405);
  expect(await status("COPY", VALUE, { Destination: "/sv00/ab/cd/copy" })).toBe(405);
});

test("a folder in the place of a value cannot be removed, moved, or replaced", async () => {
  const inner = "/sv00/ab/ce/folder/value";
  expect(await status("PUT", inner)).toBe(201);
  expect(await status("PUT", VALUE)).toBeOneOf([201, 204]);
  const before = everything();
  for (const headers of [{}, { Depth: "infinity" }, { Depth: "0" }]) {
    for (const slash of ["", "/", "//", "/."]) {
      const folder = `/sv00/ab/ce/folder${slash}`;
      expect(`${slash} ${await status("DELETE", folder, headers)}`).toMatch(/ (400|404|405|409)$/);
      const away = { ...headers, Destination: "/sv00/ab/ce/elsewhere" };
      expect(`${slash} ${await status("MOVE", folder, away)}`).toMatch(/ (400|404|405|409)$/);
    }
    const over = { ...headers, Destination: "/sv00/ab/ce/folder", Overwrite: "T" };
    expect(await status("MOVE", VALUE, over)).toBeOneOf([400, 409]);
  }
  expect(await status("PUT", "/sv00/ab/ce/folder")).toBe(409);
  expect(everything()).toEqual(before);
});

test("no file hides the listing of its folder", async () => {
  for (const name of ["index.html", "index.json"]) {
    const file = join(volume.dir, "sv00/ab/ca", name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, "hidden");
  }
  const names = JSON.parse((await ask("GET", "/sv00/ab/ca/")).text).map(({ name }: { name: string }) => name);
  expect(names).toEqual(["index.html", "index.json"]);
});

test("values are for everybody on the machine to read; with a password for the serving user and group alone, old ones too", async () => {
  await using folder = temporaryFolder();
  const login = { user: "admin", password: "secret" };
  const dir = join(folder.path, "volume");
  const modeOf = (path: string) => statSync(join(dir, path)).mode & 0o777;
  {
    await using open = await startVolume({ dir });
    expect((await request(open.port, { method: "PUT", target: "/sv00/ab/cd/old", body: "x" })).status).toBe(201);
    expect([modeOf("/sv00/ab/cd/old"), modeOf("/sv00/ab") & 0o005]).toEqual([0o664, 0o005]);
  }
  await using closed = await startVolume({ dir, auth: passwordFile(folder.path, login) });
  const headers = { Authorization: basic(login) };
  expect((await request(closed.port, { method: "PUT", target: "/sv01/00/00/new", body: "x", headers })).status).toBe(
    201,
  );
  expect(["", "/sv00", "/sv01", "/sv01/00"].map((path) => modeOf(path) & 0o007)).toEqual([0, 0, 0, 0]);
  expect(modeOf("/sv01/00/00/new")).toBe(0o660);
});

test("a path that is as long as it may be, and all but a place, is refused as fast as any other", async () => {
  const fastestMs = async (folder: string) => {
    const path = folder.repeat(1300);
    const timesMs: number[] = [];
    for (let i = 0; i < 5; i++) {
      const startMs = performance.now();
      expect(await status("PUT", `${path}/!`)).toBe(405);
      expect(await status("MOVE", path, { Destination: `${path}/!` })).toBe(405);
      timesMs.push(performance.now() - startMs);
    }
    return Math.min(...timesMs);
  };
  const otherMs = await fastestMs("/zz/zz");
  expect(await fastestMs("/aa/aa")).toBeLessThan(20 * Math.max(otherMs, 1));
});
