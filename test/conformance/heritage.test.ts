import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Cluster } from "../support/cluster";
import { withoutGrace } from "../support/grace";
import { follow } from "../support/http";
import { keys, startLeftByGo } from "../support/left-by-go";
import { pathOf } from "../support/placement";
import { recordsIn } from "../support/records";
import { md5Hex, targetOf } from "../support/values";

setDefaultTimeout(60_000);
withoutGrace();
let cluster: Cluster;
let left: { key: string; value: string }[];

beforeAll(async () => {
  cluster = await startLeftByGo();
  left = (await recordsIn(cluster.db)).map(({ key, value }) => ({ key: key.toString(), value }));
  await cluster.startMaster();
});
afterAll(() => cluster?.[Symbol.asyncDispose]());

test("an index of the Go program lists the same keys, live and unlinked", async () => {
  const unlinked = left.filter(({ value }) => value.startsWith("DELETED")).map(({ key }) => key);
  expect(unlinked.length).toBe(12);
  expect(JSON.parse((await cluster.ask("GET", "/?unlinked")).text).keys).toEqual(unlinked);
  const live = left.map(({ key }) => key).filter((key) => !unlinked.includes(key));
  expect(JSON.parse((await cluster.ask("GET", "/?list")).text).keys).toEqual(live);
  expect([...live, ...unlinked].sort()).toEqual(keys.toSorted());
});

test("every value that the Go program stored is read back", async () => {
  let read = 0;
  for (const [i, key] of keys.entries()) {
    const value = key.repeat(i + 1);
    const record = left.find((record) => record.key === key)!.value;
    const answer = await cluster.ask("GET", targetOf(key));
    if (record.startsWith("DELETED")) {
      expect(answer.status).toBe(404);
      continue;
    }
    expect(answer.status).toBe(302);
    expect(answer.headers.get("content-md5")).toBe(record.startsWith("HASH") ? md5Hex(value) : null);
    expect((await follow(answer)).text).toBe(value);
    read++;
  }
  expect(read).toBe(108);
});

test("values of the Go program are rebalanced, unlinked, deleted and written again like any other", async () => {
  const live = left.filter(({ value }) => value.startsWith("HASH")).map(({ key }) => key);
  const [moved, gone] = [live.find((key) => key.startsWith("/dir"))!, live.at(-1)!];
  expect((await cluster.ask("POST", `${targetOf(moved)}?rebalance`)).status).toBe(204);
  expect((await cluster.ask("GET", targetOf(moved))).headers.get("key-balance")).toBe("balanced");
  const { body } = await follow(await cluster.ask("GET", targetOf(gone)));
  expect((await cluster.ask("UNLINK", targetOf(gone))).status).toBe(204);
  expect((await cluster.ask("DELETE", targetOf(gone))).status).toBe(204);
  expect(cluster.filesOf(pathOf(gone))).toEqual([]);
  expect((await cluster.ask("PUT", targetOf(gone), { body })).status).toBe(201);
  expect((await follow(await cluster.ask("GET", targetOf(gone)))).body.equals(body)).toBe(true);
});
