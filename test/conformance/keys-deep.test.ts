// Keys whose Base64 is mostly slashes: their paths have few folders. Values that version 0.1.0 put many folders deep are found
// all the same, and removed, and so are those of which the Go program let nginx fold the slashes. Folders that are left empty go where `mkv volume` runs.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { chownSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { startMkvVolume } from "../durability/mkv-volume";
import { indexOf, runJob } from "../jobs/job";
import { Cluster } from "../support/cluster";
import { entangledPairs } from "../support/entangled";
import { filesOn } from "../support/files";
import { temporaryFolder } from "../support/folder";
import { follow, request } from "../support/http";
import { earlierPathOf, foldedPathOf, pathOf } from "../support/placement";
import { targetOf } from "../support/values";

setDefaultTimeout(60_000);
const flags = ["-subvolumes", "1"];
const deep = Buffer.from(`/${"\xff".repeat(60)}`, "latin1");
const folded = Buffer.from("/\xff\xfe, of three \xff\xff\xff bytes", "latin1");
let cluster: Cluster;
beforeAll(async () => {
  const held = new AsyncDisposableStack();
  const volumes = await Promise.all([1, 2, 3].map(() => startMkvVolume()));
  for (const volume of volumes) held.use(volume);
  cluster = new Cluster(volumes, join(held.use(temporaryFolder()).path, "index"), flags, undefined, held);
  await cluster.startMaster();
});
afterAll(() => cluster[Symbol.asyncDispose]());

/** Puts the files of a key, on some of the volumes, where they were earlier. */
function moveBack(key: Uint8Array, earlier: string, volumes = cluster.volumes): void {
  for (const { dir } of volumes) {
    makeFolder(dir, dirname(earlier));
    renameSync(join(dir, pathOf(key)), join(dir, earlier));
  }
}

/** Makes a folder with all above it, as the user of the volume does. */
function makeFolder(dir: string, path: string): void {
  if (existsSync(join(dir, path))) return;
  makeFolder(dir, dirname(path));
  mkdirSync(join(dir, path));
  const { uid, gid } = statSync(dir);
  chownSync(join(dir, path), uid, gid);
}

const read = async (key: Uint8Array) => (await follow(await cluster.ask("GET", targetOf(key)))).text;
const paths = () => cluster.volumes.map(({ dir }) => filesOn(dir).map(({ path }) => path));

/** All folders of all volumes below those of the hash. */
function deepFolders(): string[] {
  return cluster.volumes.flatMap(({ dir }) =>
    readdirSync(dir, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(dir.length))
      .filter((path) => /^\/..\/..\/./.test(path)),
  );
}

test.each([
  ["version 0.1.0's", deep, earlierPathOf(deep)],
  ["the Go program's", folded, foldedPathOf(folded)],
  ["the Go program's, of a deep one", deep, foldedPathOf(deep)],
])(
  "a value at its earlier path, %s, is read, verified, listed by a rebuild, moved and deleted",
  async (_, key, earlier) => {
    const now = pathOf(key);
    await cluster.startMaster();
    await cluster.store(key as unknown as string, "early");
    moveBack(key, earlier);
    expect(paths()).toEqual(Array(3).fill([earlier]));
    expect(await read(key)).toBe("early");
    await cluster.startMaster([...flags, "-probe", "volume"]);
    expect(await read(key)).toBe("early");
    await cluster.master.stop();

    const recorded = await indexOf(cluster.db);
    expect((await runJob(cluster, "verify", { flags: [...flags, "-md5"] })).exitCode).toBe(0);
    const db = `${cluster.db}-again`;
    const withoutHash = Object.fromEntries(Object.entries(recorded).map(([key, record]) => [key, record.slice(36)]));
    expect((await runJob(cluster, "rebuild", { flags, db })).last).toMatch(/\b1 key\b/);
    expect(await indexOf(db)).toEqual(withoutHash);

    rmSync(join(cluster.volumes[1]!.dir, earlier));
    expect((await runJob(cluster, "rebalance", { flags })).last).toContain("1 moved");
    expect(paths()).toEqual([[earlier], [now], [earlier]]);
    expect((await runJob(cluster, "rebuild", { flags, db })).exitCode).toBe(0);
    expect(await indexOf(db)).toEqual(withoutHash);
    expect((await runJob(cluster, "verify", { flags: [...flags, "-md5"] })).exitCode).toBe(0);

    await cluster.startMaster();
    expect(await read(key)).toBe("early");
    expect((await cluster.ask("UNLINK", targetOf(key))).status).toBe(204);
    await cluster.store(key as unknown as string, "late");
    expect(paths()).toEqual(Array(3).fill([now]));
    expect(await read(key)).toBe("late");
    moveBack(key, earlier, cluster.volumes.slice(0, 1));
    expect((await cluster.ask("DELETE", targetOf(key))).status).toBe(204);
    expect(paths()).toEqual([[], [], []]);
  },
);

test("verify -repair removes empty folders, and then there is room for a file in the place of one", async () => {
  const { above, below } = entangledPairs("deep").next().value!;
  await cluster.store(below as unknown as string, "gone");
  await cluster.store("/foo/é", "stays");
  expect((await cluster.ask("DELETE", targetOf(below))).status).toBe(204);
  expect((await cluster.ask("PUT", targetOf(above), { body: "x" })).status).toBe(409);
  for (const { dir } of cluster.volumes) makeFolder(dir, "/00/11/a/b/c");

  const { exitCode } = await runJob(cluster, "verify", { flags: [...flags, "-repair"], master: cluster.master.url });
  expect(exitCode).toBe(0);
  expect(deepFolders()).toEqual(Array(3).fill(dirname(pathOf("/foo/é"))));
  expect(cluster.volumes.every(({ dir }) => existsSync(join(dir, "00/11")))).toBe(true);
  expect(await read(Buffer.from("/foo/é"))).toBe("stays");
  await cluster.store(above, "there is room");
  expect(await read(Buffer.from(above))).toBe("there is room");
});

test("under -sync a DELETE takes the folders along that it empties, and no others", async () => {
  await cluster.startMaster([...flags, "-sync"]);
  const before = deepFolders();
  const key = Buffer.from("/syn\xff\xff\xff/\xff\xff\xff", "latin1");
  await cluster.store(key as unknown as string, "x");
  expect(deepFolders().length).toBeGreaterThan(before.length);
  expect((await cluster.ask("DELETE", targetOf(key))).status).toBe(204);
  expect(deepFolders()).toEqual(before);
});

test("a PUT that is acknowledged while its folder is being removed as an empty one is there", async () => {
  const volume = cluster.volumes[0]!;
  const target = "/00/22/a/b/c/value";
  const statuses = new Set<number>();
  for (let i = 0; i < 150; i++) {
    const sweeps = Array.from({ length: 4 }, () =>
      request(volume.port, { method: "POST", target: "/.sync/00/22/a/b/c", body: "" }),
    );
    const { status } = await request(volume.port, { method: "PUT", target, body: String(i) });
    await Promise.all(sweeps);
    statuses.add(status);
    const found = await request(volume.port, { target });
    if (status !== 500) expect([found.status, found.text]).toEqual([200, String(i)]);
    await request(volume.port, { method: "DELETE", target });
  }
  expect([...statuses].filter((status) => status !== 201 && status !== 500)).toEqual([]);
  expect(statuses).toContain(201);
});
