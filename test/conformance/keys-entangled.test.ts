// Two keys of which the file of one would be a folder of the other's path: a disk has room for one of them. The other one is
// refused, with the name of the first, and nothing is left of it.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { runJob } from "../jobs/job";
import { startCluster, type Cluster } from "../support/cluster";
import { type Entangled, entangledPairs } from "../support/entangled";
import { filesOn } from "../support/files";
import { follow, request, type Ask } from "../support/http";
import { owing } from "../support/journals";
import { pathOf, placedOn } from "../support/placement";
import { until } from "../support/until";
import { md5Hex, targetOf, valueOf } from "../support/values";

setDefaultTimeout(60_000);
const flags = ["-subvolumes", "1"];
const pairs = [...entangledPairs("pair").take(6)];
let cluster: Cluster;
beforeAll(async () => void (cluster = await startCluster({ flags })));
afterAll(() => cluster[Symbol.asyncDispose]());

const values: [string, Partial<Ask>][] = [
  ["a small value", { body: "second" }],
  ["a value that streams", { body: valueOf("second", 400_000), chunkBytes: 30_000 }],
];
const refusals = values.flatMap(
  ([what, ask], i): [string, string | Uint8Array, string | Uint8Array, Partial<Ask>][] => [
    [`${what}, below a file`, pairs[2 * i]!.above, pairs[2 * i]!.below, ask],
    [`${what}, in the place of a folder`, pairs[2 * i + 1]!.below, pairs[2 * i + 1]!.above, ask],
  ],
);

test.each(refusals)("a write that has no room beside another key is refused: %s", async (_, first, second, ask) => {
  await cluster.store(first as string, "first");
  const answer = await cluster.ask("PUT", targetOf(second), ask);
  expect([answer.status, answer.text]).toEqual([409, expect.stringContaining(JSON.stringify(shown(first)))]);

  expect((await cluster.ask("GET", targetOf(second))).status).toBe(404);
  expect((await cluster.ask("DELETE", targetOf(second))).status).toBe(404);
  expect((await follow(await cluster.ask("GET", targetOf(first)))).text).toBe("first");
  expect(cluster.filesOf(pathOf(first)).map(({ md5 }) => md5)).toEqual(Array(3).fill(md5Hex("first")));
  await nothingOwed(cluster);
  const other = `/beside${targetOf(second)}`; // No disk is taken for a full one: three copies, or no 201.
  await cluster.store(other);
  expect(cluster.filesOf(pathOf(other)).length).toBe(3);
});

test("what is acknowledged of two such keys at once can be read, and nothing is owed", async () => {
  const { above, below } = pairs[4]!;
  const puts = [above, below].map(async (key) => ({
    key,
    status: (await cluster.ask("PUT", targetOf(key), { body: `race of ${key}` })).status,
  }));
  const answers = await Promise.all(puts);
  const stored = answers.filter(({ status }) => status === 201);
  expect(stored.length).toBeLessThan(2);
  for (const { status } of answers) expect([201, 409, 503]).toContain(status);
  for (const { key } of stored)
    expect((await follow(await cluster.ask("GET", targetOf(key)))).text).toBe(`race of ${key}`);
  await nothingOwed(cluster);
  expect(cluster.remains().filter((file) => file.includes(pathOf(above))).length).toBe(3 * stored.length);
});

test("an empty folder in the place of a file is named", async () => {
  const { above, below } = pairs[5]!;
  await cluster.store(below as unknown as string, "deleted");
  expect((await cluster.ask("DELETE", targetOf(below))).status).toBe(204);
  const { status, text } = await cluster.ask("PUT", targetOf(above), { body: "x" });
  expect([status, text]).toEqual([409, expect.stringContaining(`${pathOf(above)} is an empty folder`)]);
  await nothingOwed(cluster);
});

test("a volume never removes a folder, however it is asked to", async () => {
  const { port, dir } = cluster.volumes[0]!;
  const folder = "/00/11/folder";
  expect((await request(port, { method: "PUT", target: `${folder}/file`, body: "x" })).status).toBe(201);
  const ways = ["", "/", "//", "/.", "%2f", "/?a", "/../folder/", "/../folder", "/file/..", "/file/../", "/%2e/"];
  const statuses = await Promise.all(
    ways.map(async (way) => (await request(port, { method: "DELETE", target: folder + way })).status),
  );
  for (const status of statuses) expect([400, 404, 405, 409]).toContain(status);
  expect(filesOn(dir).map(({ path }) => path)).toContain(`${folder}/file`);
});

test("jobs say which key is in the way, end, and owe nothing", async () => {
  await using other = await startCluster({ volumes: 2, flags: [...flags, "-replicas", "1"] });
  const isFree = ({ above, below }: Entangled) => isApart(other, above, below);
  const [{ above, below }, later] = [...entangledPairs("apart").filter(isFree).take(2)] as [Entangled, Entangled];
  await other.store(later.above, "above");
  expect((await other.ask("PUT", targetOf(later.below), { body: "below" })).status).toBe(409); // It is known, and not met.
  expect((await other.ask("DELETE", targetOf(later.above))).status).toBe(204);
  await other.store(below as unknown as string, "below");
  await other.store(above, "above");
  const before = other.remains();
  await other.master.stop();
  for (const [command, more] of [
    ["rebalance", []],
    ["verify", ["-repair"]],
  ] as const) {
    const { exitCode, output } = await runJob(other, command, { flags: [...flags, "-replicas", "2", ...more] });
    expect([command, exitCode]).toEqual([command, 1]);
    for (const key of [above, below]) {
      expect(output).toMatch(
        new RegExp(`: (not repaired: )?not written: the file of ${escaped(JSON.stringify(shown(key)))}`, "u"),
      );
    }
    expect(output).not.toContain("waits");
    expect(owing(other.db)).toBe(0);
  }
  expect(other.remains()).toEqual(before);
});

function isApart(other: Cluster, above: string, below: Uint8Array): boolean {
  const [a, b] = [above, below].map(
    (key) => placedOn(key, { volumes: other.addresses, replicas: 1, subvolumes: 1 })[0],
  );
  return a !== b;
}

/** A key as texts have it. */
function shown(key: string | Uint8Array): string {
  return typeof key === "string" ? key : Buffer.from(key).toString("latin1").replace("\xff", "\u{10ffff}");
}

function escaped(text: string): string {
  return text.replace(/[^A-Za-z0-9"]/gu, (c) => `\\u{${c.codePointAt(0)!.toString(16)}}`);
}

async function nothingOwed({ db }: Cluster): Promise<void> {
  await until(() => owing(db) === 0, { what: "nothing is owed" });
}
