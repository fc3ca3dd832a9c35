// Files that are no values, or in the wrong place, do not come to life in a rebuild, and do not stop it.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { pathOf, placedOn } from "../support/placement";
import { plant } from "./damage";
import { indexOf, runJob } from "./job";
import { plainKeys } from "./keys";

setDefaultTimeout(60_000);
const keys = plainKeys("key", 12);
let cluster: Cluster;
let written: Record<string, string>;

beforeAll(async () => {
  cluster = await startCluster();
  for (const key of keys) await cluster.store(key);
  await cluster.master.stop();
  written = await indexOf(cluster.db);
});
afterAll(() => cluster[Symbol.asyncDispose]());

/** A folder of values that is there already. */
function valueFolder(): string {
  const [file] = cluster.remains();
  return dirname(file!).slice(cluster.volumes[0]!.dir.length + 1);
}

const base64 = (key: string) => Buffer.from(key).toString("base64");
const strangers: [what: string, path: () => string | Buffer, content: string, why: RegExp][] = [
  ["a file in the folder of another hash", () => `sv00/00/00/${base64("/misfiled")}`, "x", /where its name belongs/],
  ["a file with a name of its own", () => join(valueFolder(), "notes.txt"), "x", /where its name belongs/],
  ["a file deep below its folder", () => join(valueFolder(), "some/where/deep"), "x", /where its name belongs/],
  ["a file that only looks like Base64", () => join(valueFolder(), "Lw"), "x", /where its name belongs/],
  ["a key that does not begin with a slash", () => `sv00${pathOf("slashless")}`, "x", /where its name belongs/],
  ["an empty file in the right folder", () => `sv00${pathOf("/empty")}`, "", /empty/],
  ["a file in a folder with a space", () => join(valueFolder(), "a b/c"), "x", /where its name belongs/],
  ["a file in a folder with a question mark", () => join(valueFolder(), "a?b/c"), "x", /where its name belongs/],
  ["a file in a folder with a number sign", () => join(valueFolder(), "a#b/c"), "x", /where its name belongs/],
  ["a file in a folder with a percent sign", () => join(valueFolder(), "a%62/c"), "x", /where its name belongs/],
  ["a file in a folder that is not ASCII", () => join(valueFolder(), "ünï/c"), "x", /where its name belongs/],
  [
    "a file in a folder of bytes that are no text",
    () => Buffer.from(`${valueFolder()}/\xff/c`, "latin1"),
    "x",
    /belongs/,
  ],
  ["a name of bytes that are no text", () => Buffer.from(`${valueFolder()}/\xff\xfe`, "latin1"), "x", /belongs/],
];

test.each(strangers)("%s is reported, counted, and not indexed", async (_, path, content, why) => {
  const place = path();
  using _planted = plant(cluster.volumes[0]!, place, content);
  const { exitCode, last, stderr } = await runJob(cluster, "rebuild");
  const counts = `${keys.length} keys in ${3 * keys.length} files; 1 file reported and not indexed`;
  expect([exitCode, last]).toEqual([0, `rebuilt ${cluster.db}: ${counts}`]);
  const lines = stderr.trimEnd().split("\n");
  expect(lines.length).toBe(1);
  expect(lines[0]).toMatch(why);
  const [plain] = place.toString().match(/^[\w/+=.]+/)!; // How the rest is shown is no promise.
  expect(lines[0]).toStartWith(`${cluster.addresses[0]}/${plain}`);
  expect(await indexOf(cluster.db)).toEqual(written);
});

const bystanders: [what: string, paths: (string | Buffer)[]][] = [
  [
    "files and folders beside the subvolumes",
    ["README", "lost+found/x", "sv0/00/00/x", "svXY/00/00/x", "backup/00/00/x"],
  ],
  [
    "files and folders beside those of the hashes",
    ["sv00/notes", "sv00/zz/00/x", "sv00/00/notes", "sv00/00/000/x", "sv00/damaged/00/00/x"],
  ],
  ["names with quotes, line breaks and other signs", ['sv00/"', "sv00/\\", "sv00/a\nb", "sv00/a\tb", "sv00/<&>"]],
  ["names outside of ASCII", ["sv00/\u{1F600}", "sv00/\u{F900}", "sv00/ü", "\u{1F600}", "\u{FFFD}"]],
  ["names of bytes that are no text", [Buffer.from("sv00/\xfe", "latin1"), Buffer.from("sv00/\xff", "latin1")]],
];

test.each(bystanders)("%s do not disturb a rebuild", async (_, paths) => {
  using planted = new DisposableStack();
  for (const path of paths) planted.use(plant(cluster.volumes[0]!, path, "x"));
  const { exitCode, output } = await runJob(cluster, "rebuild");
  const counts = `${keys.length} keys in ${3 * keys.length} files; 0 files reported and not indexed`;
  expect([exitCode, output]).toEqual([0, `rebuilt ${cluster.db}: ${counts}\n`]);
  expect(await indexOf(cluster.db)).toEqual(written);
});

test("an empty copy is left out of the record of a key that has others", async () => {
  const [file] = cluster.filesOf(pathOf(keys[0]!));
  const content = Bun.file(file!.file);
  const value = await content.text();
  writeFileSync(file!.file, "");
  const { last } = await runJob(cluster, "rebuild");
  expect(last).toEndWith(`: ${keys.length} keys in ${3 * keys.length - 1} files; 1 file reported and not indexed`);
  const volumes = placedOn(keys[0]!, { volumes: cluster.addresses }).filter(
    (volume) => volume !== `${cluster.addresses[0]}/${file!.subvolume}`,
  );
  expect((await indexOf(cluster.db))[keys[0]!]).toEndWith(volumes.join(","));
  writeFileSync(file!.file, value);
  utimesSync(file!.file, file!.mtimeMs / 1000, file!.mtimeMs / 1000);
  await runJob(cluster, "rebuild");
  expect(await indexOf(cluster.db)).toEqual(written);
});

test("thousands of strangers in one folder are each reported, whatever their names are", async () => {
  using planted = new DisposableStack();
  const folder = valueFolder();
  const names = Array.from({ length: 3_000 }, (_, i) => `${i} ${"\u{1F600}ü".repeat(30)}`);
  for (const name of names) planted.use(plant(cluster.volumes[0]!, `${folder}/${name}`, "x"));
  const { exitCode, last, stderr } = await runJob(cluster, "rebuild");
  expect([exitCode, last]).toEqual([0, expect.stringContaining(` ${names.length} files reported and not indexed`)]);
  const reported = stderr
    .trimEnd()
    .split("\n")
    .map((line) => line.match(/\/(\d+) [^/]*: not where/)?.[1]);
  expect(reported.map(Number).sort((a, b) => a - b)).toEqual(names.map((_, i) => i));
  expect(await indexOf(cluster.db)).toEqual(written);
});

test("each thread of a rebuild tells what it finds", async () => {
  using planted = new DisposableStack();
  const paths = ["sv00/00/00/x", "sv00/01/00/x"]; // One in the share of each.
  for (const path of paths) planted.use(plant(cluster.volumes[0]!, path, "x"));
  const { stderr } = await runJob(cluster, "rebuild", { flags: ["-threads", "2"] });
  const told = paths.map((path) => `${cluster.addresses[0]}/${path}: not where its name belongs, not indexed`);
  expect(stderr.trimEnd().split("\n").sort()).toEqual(told);
});

// Listings of many folders share connections, and a long one that nobody reads on holds up those behind it.
test("many long folders on all volumes, with folders in them, are all read to their end", async () => {
  const folders = Array.from({ length: 32 }, (_, i) => `00/${i.toString(16).padStart(2, "0")}`);
  const names = Array.from({ length: 300 }, (_, i) => `${i}${"-and-long".repeat(25)}`);
  const below = ["a/b", "c/d/e", "00/00"];
  for (const { dir } of cluster.volumes) {
    for (const folder of folders) {
      for (const deep of below) mkdirSync(join(dir, "sv0F", folder, dirname(deep)), { recursive: true });
      for (const name of [...names, ...below]) writeFileSync(join(dir, "sv0F", folder, name), "x");
    }
  }
  try {
    const { exitCode, last } = await runJob(cluster, "rebuild");
    const count = cluster.volumes.length * folders.length * (names.length + below.length);
    expect([exitCode, last]).toEqual([0, expect.stringContaining(` ${count} files reported and not indexed`)]);
    expect(await indexOf(cluster.db)).toEqual(written);
  } finally {
    for (const { dir } of cluster.volumes) rmSync(join(dir, "sv0F"), { recursive: true });
  }
});
