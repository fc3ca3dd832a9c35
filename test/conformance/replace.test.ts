// PUT ?replace: a live value is replaced by another, whole; the plain PUT goes on refusing that.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, rmSync } from "node:fs";
import { startCluster, type Cluster } from "../support/cluster";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { startFaultyVolume } from "../support/faulty";
import { filesOn } from "../support/files";
import { follow, request } from "../support/http";
import { startMaster } from "../support/master";
import { settledOwing } from "../support/journals";
import { pathOf } from "../support/placement";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";

setDefaultTimeout(60_000);
let cluster: Cluster;
beforeAll(async () => void (cluster = await startCluster()));
afterAll(() => cluster[Symbol.asyncDispose]());

async function replace(key: string, body: string | Uint8Array, headers: Record<string, string> = {}) {
  return await cluster.ask("PUT", `${key}?replace`, { body, headers });
}

async function read(key: string): Promise<[md5: string | null, body: string]> {
  const found = await cluster.ask("GET", key);
  return [found.headers.get("content-md5"), md5Hex((await follow(found)).body)];
}

test.each([1, 1_000, 400_000])("a value of %d bytes takes the place of another, and of nothing", async (bytes) => {
  const key = `/replaced-${bytes}`;
  for (const seed of ["first", "second", "third"]) {
    const value = valueOf(seed, bytes + seed.length);
    expect((await replace(key, value)).status).toBe(201);
    expect(await read(key)).toEqual([md5Hex(value), md5Hex(value)]);
    expect(copiesOf(cluster, key)).toEqual(copiesOn(homeOf(cluster, key), value));
  }
  expect((await cluster.ask("PUT", key, { body: "x" })).status).toBe(403);
  await settledOwing(cluster.db);
  expect(cluster.remains().filter((file) => file.includes("/staged/"))).toEqual([]);
});

test("a replacement that is refused, or breaks off, leaves the old value, and another may follow at once", async () => {
  const key = "/kept";
  await cluster.store(key, "old");
  expect((await replace(key, "new", { "Content-MD5": md5Hex("other") })).status).toBe(400);
  expect((await replace(key, "")).status).toBe(411);
  expect((await cluster.ask("PUT", `${key}?replace&x`, { body: "new" })).status).toBe(403);
  expect((await cluster.ask("POST", `${key}?replace`, { body: "new" })).status).toBe(405);
  expect(await read(key)).toEqual([md5Hex("old"), md5Hex("old")]);
  expect((await replace(key, "new")).status).toBe(201);
  expect(await read(key)).toEqual([md5Hex("new"), md5Hex("new")]);
});

test("an unlinked value is replaced as by any PUT, and what was replaced is deleted as any value", async () => {
  const key = "/hidden";
  await cluster.store(key, "old");
  await cluster.ask("UNLINK", key);
  expect((await replace(key, "new")).status).toBe(201);
  expect((await replace(key, "newer")).status).toBe(201);
  expect((await cluster.ask("DELETE", key)).status).toBe(204);
  const gone = () => Object.keys(copiesOf(cluster, key)).length === 0;
  await until(gone, { what: "no copy is left" });
});

test("readers and writers at once: each reader gets one of the values, whole, and of the writers the last one wins", async () => {
  const key = "/contended";
  await cluster.store(key, valueOf("0", 100_000));
  const sums = new Set(["0", "1", "2", "3"].map((seed) => md5Hex(valueOf(seed, 100_000))));
  let isOver = false;
  const seen: string[] = [];
  const readers = Array.from({ length: 4 }, async () => {
    while (!isOver) {
      const found = await cluster.ask("GET", key);
      if (found.status === 302) seen.push(md5Hex((await follow(found)).body));
      else expect(found.status).toBe(302);
    }
  });
  for (let round = 0; round < 10; round++) {
    const answers = await Promise.all(["1", "2", "3"].map((seed) => replace(key, valueOf(seed, 100_000))));
    const statuses = answers.map(({ status }) => status);
    expect(statuses).toContain(201);
    expect(statuses.filter((status) => status !== 201 && status !== 409)).toEqual([]);
  }
  isOver = true;
  await Promise.all(readers);
  expect(seen.length).toBeGreaterThan(10);
  expect(seen.filter((md5) => !sums.has(md5))).toEqual([]);
  const [recorded, held] = await read(key);
  expect(recorded).toBe(held);
});

test("a volume that does not know MOVE: 501, what to start, and the old value stays", async () => {
  const files = new Set<string>();
  await using volume = await startFaultyVolume(({ method, path }) => {
    if (method === "PUT") files.add(path);
    return { does: "answer", status: method === "PUT" ? 201 : method === "MOVE" ? 405 : files.has(path) ? 200 : 404 };
  });
  await using master = await startMaster({ volumes: [volume.address], flags: ["-replicas", "1"] });
  const put = (target: string) => request(master.port, { method: "PUT", target, body: "x" });
  expect((await put("/key?replace")).status).toBe(201);
  const refused = await put("/key?replace");
  expect(refused.status).toBe(501);
  expect(refused.text).toMatch(/does not know MOVE.*volume DIR/);
  expect(volume.seen.filter(({ method }) => method === "MOVE")).toEqual([]);
});

test("a folder in the place of a value: a replacement says what it waits for, and goes on when that is gone", async () => {
  const key = "/in-the-way";
  await cluster.store(key);
  const { file } = filesOn(cluster.volumes[0]!.dir).find(({ path }) => path === pathOf(key))!;
  rmSync(file);
  mkdirSync(file);
  const { status, text } = await cluster.ask("PUT", `${key}?replace`, { body: "new" });
  expect([status, text]).toEqual([
    503,
    expect.stringMatching(/ goes on when this is over: localhost:\d+\S* answered 409\n?$/),
  ]);
  rmSync(file, { recursive: true });
  const isOver = async () => (await cluster.ask("DELETE", key)).status === 204;
  await until(isOver, { what: "it has gone on", deadlineMs: 20_000 });
});
