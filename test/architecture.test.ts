// The rules of the house: what may import what, how long a function and a file may be, and what stays out of the files.
import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join, normalize, relative } from "node:path";
import { calls, functionsOf, importsOf, tokensOf } from "./support/source";

const ROOT = join(import.meta.dir, "..");
const LONGEST_FUNCTION = 70;
const LONGEST_FILE = 250;

// From the roof to the ground. A floor imports from those below it and from itself; two rooms of one floor know nothing
// of each other. Files that lie directly in src/ are leaves, and import nothing.
const FLOORS = [["main"], ["cli"], ["api", "jobs"], ["store"], ["ledger", "volumes"], ["format"], ["leaf"]];

// Rooms within rooms: a dialect of api, a kind of ledger, the care of a store, its places, the HTTP below volumes. What lies
// around one may use it, two of them know nothing of each other, and from elsewhere only this room may look in, which puts
// everything together.
const FITTER = "cli";
const CHAMBERS = [
  "api/admin",
  "api/native",
  "api/s3",
  "ledger/level",
  "ledger/postgres",
  "store/care",
  "store/places",
  "volumes/http",
];

const LISTENS = "src/api/s3/serve.ts"; // For others to ask: it asks nobody.
const ASKS_A_MASTER = "src/jobs/master.ts"; // A client of its own, to another kind of server.

const files = [...new Bun.Glob("src/**/*.ts").scanSync({ cwd: ROOT })].sort();
const textOf = (file: string) => readFileSync(join(ROOT, file), "utf8");

/** The room of a file below src/. */
function roomOf(file: string): string {
  const [, room = "", ...rest] = file.split("/");
  if (rest.length > 0) return room;
  return room === "main.ts" ? "main" : "leaf";
}

/** The room within a room that a file lies in; undefined for a file that lies directly in its room. */
function chamberOf(file: string): string | undefined {
  const [, room, ...rest] = dirname(file).split("/");
  return rest.length > 0 ? [room, ...rest].join("/") : undefined;
}

function floorOf(room: string): number {
  return FLOORS.findIndex((rooms) => rooms.includes(room));
}

function mayImport(from: string, to: string): boolean {
  const [upper, lower] = [roomOf(from), roomOf(to)];
  const [own, other] = [chamberOf(from), chamberOf(to)];
  if (upper !== lower) return floorOf(lower) > floorOf(upper) && (other === undefined || upper === FITTER);
  const isWithin = own === undefined || other === undefined || `${other}/`.startsWith(`${own}/`);
  return upper !== "leaf" && isWithin;
}

/** Imports between files of src/, as pairs of files. */
function importsWithin(): [from: string, to: string][] {
  return files.flatMap((file) =>
    importsOf(textOf(file))
      .filter((specifier) => specifier.startsWith("."))
      .map((specifier) => normalize(join(dirname(file), specifier)))
      .filter((target) => target.startsWith("src/"))
      .map((target): [string, string] => [file, /\.\w+$/.test(target) ? target : `${target}.ts`]),
  );
}

test("there is a source to judge, and every folder of it is a known one", () => {
  expect(files).toContain("src/main.ts");
  expect(files.map(roomOf).filter((room) => floorOf(room) < 0)).toEqual([]);
  expect([...new Set(files.flatMap((file) => chamberOf(file) ?? []))]).toEqual(CHAMBERS);
  expect(importsWithin().length).toBeGreaterThan(files.length / 2);
  expect(importsWithin().filter(([, to]) => !existsSync(join(ROOT, to)))).toEqual([]);
});

test("imports go down only, and rooms of one floor, or within one room, do not know each other", () => {
  expect(importsWithin().filter(([from, to]) => !mayImport(from, to))).toEqual([]);
});

test.each([
  ["cli/open", "ledger/level/open", true],
  ["api/native/dialect", "api/respond", true],
  ["ledger/level/ledger", "ledger/ledger", true],
  ["ledger/level/ledger", "ledger/level/journal", true],
  ["volumes/client", "limits", true],
  ["store/put", "api/respond", false],
  ["store/put", "ledger/level/ledger", false],
  ["store/put", "volumes/http/pool", false],
  ["jobs/verify", "api/url", false],
  ["ledger/ledger", "volumes/volumes", false],
  ["volumes/volumes", "ledger/ledger", false],
  ["api/native/list", "api/s3/list", false],
  ["ledger/level/ledger", "ledger/postgres/open", false],
  ["store/care/mend", "store/heal", true],
  ["store/care/mend", "store/places/ids", false],
  ["jobs/backup", "store/places/ids", false],
  ["log", "limits", false],
])("whether %s may import %s: %p", (from, to, isAllowed) => {
  expect(mayImport(`src/${from}.ts`, `src/${to}.ts`)).toBe(isAllowed);
});

test("no folder imports from one that imports from it, by whatever way", () => {
  const below = new Map<string, Set<string>>();
  for (const [from, to] of importsWithin()) {
    const [upper, lower] = [dirname(from), dirname(to)];
    if (upper !== lower && roomOf(from) !== "main") below.set(upper, (below.get(upper) ?? new Set()).add(lower));
  }
  const waysFrom = (folder: string, way: readonly string[]): string[] =>
    way.includes(folder)
      ? [[...way.slice(way.indexOf(folder)), folder].join(" > ")]
      : [...(below.get(folder) ?? [])].flatMap((next) => waysFrom(next, [...way, folder]));
  expect([...below.keys()].flatMap((folder) => waysFrom(folder, []))).toEqual([]);
});

test("only src/ledger knows LevelDB", () => {
  const importers = files.filter((file) =>
    importsOf(textOf(file)).some((specifier) => /level/.test(specifier) && !/^\./.test(specifier)),
  );
  expect(importers.length).toBeGreaterThan(0);
  expect(importers.filter((file) => roomOf(file) !== "ledger")).toEqual([]);
});

test("only src/volumes talks to volume servers", () => {
  const talkers = files.filter((file) => {
    const text = textOf(file);
    const clients = importsOf(text).some((specifier) => /^(node:)?(http|https|http2|net|tls)$/.test(specifier));
    return clients || calls(text, "fetch") || /\bBun\.connect\b/.test(text);
  });
  expect(talkers.length).toBeGreaterThan(0);
  expect(talkers.filter((file) => roomOf(file) !== "volumes" && ![ASKS_A_MASTER, LISTENS].includes(file))).toEqual([]);
});

test(`no function is longer than ${LONGEST_FUNCTION} lines`, () => {
  const functions = files.flatMap((file) => functionsOf(textOf(file)).map((span) => ({ file, ...span })));
  expect(functions.length).toBeGreaterThan(files.length);
  expect(functions.filter(({ lines }) => lines > LONGEST_FUNCTION)).toEqual([]);
});

test(`no file is longer than ${LONGEST_FILE} lines`, () => {
  const tests = [...new Bun.Glob("test/**/*.ts").scanSync({ cwd: ROOT })];
  const lengths = [...files, ...tests].map((file) => ({ file, lines: textOf(file).trimEnd().split("\n").length }));
  expect(lengths.filter(({ lines }) => lines > LONGEST_FILE)).toEqual([]);
});

test("every source file says at its top what it owns", () => {
  expect(files.filter((file) => !/^(#!.*\n)?\/[/*]/.test(textOf(file)))).toEqual([]);
});

test("nothing is of type any", () => {
  const loose = files.filter((file) => {
    const words = tokensOf(textOf(file)).map(({ text }) => text);
    return words.some((text, i) => text === "any" && /^([:<,|&]|as)$/.test(words[i - 1] ?? ""));
  });
  expect(loose).toEqual([]);
});

test("no file names a folder of the machine it was written on", async () => {
  const git = Bun.spawn(["git", "ls-files", "--cached", "--others", "--exclude-standard"], {
    cwd: ROOT,
    stdout: "pipe",
  });
  const tracked = (await git.stdout.text()).split("\n").filter((file) => file && existsSync(join(ROOT, file)));
  expect(tracked.length).toBeGreaterThan(files.length);
  const common = new Set(["/", "/home", "/root", "/usr", "/opt", "/srv", "/mnt", tmpdir()]);
  const folders = [ROOT, dirname(ROOT), homedir()].filter((folder) => !common.has(folder));
  const naming = tracked.filter((file) => folders.some((folder) => textOf(file).includes(`${folder}/`)));
  expect(naming).toEqual([]);
  expect(relative(ROOT, import.meta.path)).toBe("test/architecture.test.ts");
});
