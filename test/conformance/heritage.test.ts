import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { temporaryFolder, type Folder } from "../support/folder";
import { follow, request } from "../support/http";
import { startMaster, type Master } from "../support/master";
import { pathOf } from "../support/placement";
import { recordsIn, writeRecords } from "../support/records";
import { filesAt } from "../support/files";
import { md5Hex, targetOf } from "../support/values";
import { CHECKOUT, startVolume, type Volume } from "../support/volume";
import { withoutGrace } from "../support/grace";

// A cluster that the Go program has left, of 120 keys. Its volumes had other ports: those are changed in the records.
setDefaultTimeout(60_000);
withoutGrace();
const PORTS_THEN = ["3001", "3002", "3003"];
const keys = Array.from({ length: 120 }, (_, i) => {
  const number = String(i).padStart(3, "0");
  return i % 3 === 0 ? `/dir/ünï-${number}/é.bin` : `/key-${number}`;
});
let folder: Folder;
let volumes: Volume[];
let master: Master;
let left: { key: string; value: string }[];

beforeAll(async () => {
  folder = temporaryFolder();
  const archive = join(CHECKOUT, "test/fixtures/go-cluster.tar.gz");
  expect(await Bun.spawn(["tar", "xzf", archive, "--no-same-owner", "-C", folder.path]).exited).toBe(0);
  expect(await Bun.spawn(["chmod", "-R", "a+rwX", folder.path]).exited).toBe(0);
  volumes = [];
  for (const n of [1, 2, 3]) volumes.push(await startVolume({ dir: join(folder.path, `volume${n}`) }));
  const db = join(folder.path, "indexdb");
  const renamed = (value: string) =>
    PORTS_THEN.reduce((text, port, i) => text.replace(`localhost:${port}`, volumes[i]!.address), value);
  left = (await recordsIn(db)).map(({ key, value }) => ({ key: key.toString(), value: renamed(value) }));
  await writeRecords(
    db,
    left.map(({ key, value }) => [key, value]),
  );
  master = await startMaster({ db, volumes: volumes.map(({ address }) => address) });
});

afterAll(async () => {
  for (const started of [master, ...(volumes ?? []), folder]) await started?.[Symbol.asyncDispose]();
});

const ask = (method: string, target: string, body?: Uint8Array) =>
  request(master.port, { method, target, ...(body && { body }) });

test("an index of the Go program lists the same keys, live and unlinked", async () => {
  const unlinked = left.filter(({ value }) => value.startsWith("DELETED")).map(({ key }) => key);
  expect(unlinked.length).toBe(12);
  expect(JSON.parse((await ask("GET", "/?unlinked")).text).keys).toEqual(unlinked);
  const live = left.map(({ key }) => key).filter((key) => !unlinked.includes(key));
  expect(JSON.parse((await ask("GET", "/?list")).text).keys).toEqual(live);
  expect([...live, ...unlinked].sort()).toEqual(keys.toSorted());
});

test("every value that the Go program stored is read back", async () => {
  let read = 0;
  for (const [i, key] of keys.entries()) {
    const value = key.repeat(i + 1);
    const record = left.find((record) => record.key === key)!.value;
    const answer = await ask("GET", targetOf(key));
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
  expect((await ask("POST", `${targetOf(moved)}?rebalance`)).status).toBe(204);
  expect((await ask("GET", targetOf(moved))).headers.get("key-balance")).toBe("balanced");
  const { body } = await follow(await ask("GET", targetOf(gone)));
  expect((await ask("UNLINK", targetOf(gone))).status).toBe(204);
  expect((await ask("DELETE", targetOf(gone))).status).toBe(204);
  expect(volumes.flatMap(({ dir }) => filesAt(dir, pathOf(gone)))).toEqual([]);
  expect((await ask("PUT", targetOf(gone), body)).status).toBe(201);
  expect((await follow(await ask("GET", targetOf(gone)))).body.equals(body)).toBe(true);
});
