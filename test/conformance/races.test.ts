import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { follow, type Answer } from "../support/http";
import { pathOf } from "../support/placement";
import { md5Hex, valueOf } from "../support/values";

setDefaultTimeout(60_000);
let cluster: Cluster;
beforeAll(async () => void (cluster = await startCluster()));
afterAll(() => cluster[Symbol.asyncDispose]());

/** Asks for all of it at once. */
function together(requests: [method: string, target: string, body?: string | undefined][]): Promise<Answer[]> {
  return Promise.all(requests.map(([method, target, body]) => cluster.ask(method, target, body ? { body } : {})));
}

/** Throws unless the key is wholly there with one of the values, wholly unlinked, or wholly gone. */
async function expectWholeState(key: string, values: string[]): Promise<void> {
  const hashes = values.map(md5Hex);
  const files = cluster.filesOf(pathOf(key));
  const answer = await cluster.ask("GET", key);
  const live = answer.status === 302;
  expect([302, 404]).toContain(answer.status);
  expect((await cluster.keys("list", key)).includes(key)).toBe(live);
  const unlinked = (await cluster.keys("unlinked", key)).includes(key);
  expect(live && unlinked).toBe(false);
  if (!live && !unlinked) return expect(files).toEqual([]);
  if (!live) return;
  expect(files.length).toBe(3);
  expect(new Set(files.map((file) => file.md5)).size).toBe(1);
  expect(hashes).toContain(files[0]!.md5);
  expect(answer.headers.get("content-md5")).toBe(files[0]!.md5);
}

test("of a hundred PUTs of one key at once exactly one wins, and its value is the one that is read", async () => {
  for (let round = 0; round < 3; round++) {
    const key = `/contested-${round}`;
    const values = Array.from({ length: 100 }, (_, i) => valueOf(`${round}-${i}`, 2_000).toString("hex"));
    const answers = await together(values.map((value) => ["PUT", key, value]));
    const winners = values.filter((_, i) => answers[i]!.status === 201);
    expect(winners.length).toBe(1);
    for (const { status } of answers) expect([201, 403, 409]).toContain(status);
    expect((await follow(await cluster.ask("GET", key))).text).toBe(winners[0]!);
    expect(cluster.filesOf(pathOf(key)).map((file) => file.md5)).toEqual(Array(3).fill(md5Hex(winners[0]!)));
  }
});

test("PUTs, DELETEs, UNLINKs and GETs that race never leave a key half there", async () => {
  const key = "/raced";
  for (let round = 0; round < 40; round++) {
    const values = [`first of ${round}`, `second of ${round}`];
    const answers = await together([
      ["PUT", key, values[0]],
      ["DELETE", key],
      ["GET", key],
      ["UNLINK", key],
      ["PUT", key, values[1]],
      ["DELETE", key],
    ]);
    const allowed = [
      [201, 403, 409],
      [204, 404, 409],
      [302, 404, 410],
      [204, 404, 409],
      [201, 403, 409],
      [204, 404, 409],
    ];
    answers.forEach(({ status }, i) => expect(allowed[i]).toContain(status));
    const earlier = Array.from({ length: round }, (_, i) => [`first of ${i}`, `second of ${i}`]).flat();
    await expectWholeState(key, [...values, ...earlier]);
  }
  expect([204, 404]).toContain((await cluster.ask("DELETE", key)).status);
  expect(cluster.filesOf(pathOf(key))).toEqual([]);
});

test("a DELETE that races with a PUT of an unlinked key leaves either the new value or nothing", async () => {
  for (let round = 0; round < 20; round++) {
    const key = `/rewritten-${round}`;
    await cluster.ask("PUT", key, { body: "old" });
    await cluster.ask("UNLINK", key);
    await together([
      ["PUT", key, "new"],
      ["DELETE", key],
    ]);
    await expectWholeState(key, ["new"]);
  }
});

test("a thousand writes of different keys, a hundred at once, all succeed, and their deletion leaves nothing", async () => {
  const before = cluster.remains();
  const keys = Array.from({ length: 1_000 }, (_, i) => `/crowd/${String(i).padStart(4, "0")}`);
  for (let at = 0; at < keys.length; at += 100) {
    const answers = await together(keys.slice(at, at + 100).map((key) => ["PUT", key, `value of ${key}`]));
    expect(answers.filter(({ status }) => status === 201).length).toBe(100);
  }
  expect(await cluster.keys("list", "/crowd/")).toEqual(keys);
  expect((await follow(await cluster.ask("GET", keys[517]!))).text).toBe(`value of ${keys[517]}`);
  for (let at = 0; at < keys.length; at += 100) {
    const answers = await together(keys.slice(at, at + 100).map((key) => ["DELETE", key]));
    expect(answers.filter(({ status }) => status === 204).length).toBe(100);
  }
  expect(cluster.remains()).toEqual(before);
});
