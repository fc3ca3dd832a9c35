// What of a store goes into a backup beside its keys.
import { expect, test } from "bun:test";
import { type Ledger } from "../../src/ledger/ledger";
import { backup } from "../../src/store/backup";
import { holding, keyOf, openLevel, same } from "../ledger/ledgers";

const shape = { volumes: ["a:1"], replicas: 1, subvolumes: 10 };
const remembered = new Map<string, unknown>([
  ["bucket photos", { createdMs: 1 }],
  ["heal 2f61", { why: "missing" }],
  ["id a:1", "one"],
  ["index", { manifest: 5 }],
  ["job verify", {}],
  ["orphan a:1/sv00/x", {}],
  ["put-back a:1/sv01", { id: "2f61", isEarlier: true }],
  ["refill a:1/sv00 one", true],
  ["shape", shape],
  ["upload 2f61 00", { startedMs: 1 }],
]);

test("ids, shape, buckets, uploads, disks to be filled or put back go along; what only counts here and now does not", async () => {
  const memory = {
    get: (name: string) => remembered.get(name),
    page: (prefix: string) => [...remembered].filter(([name]) => name.startsWith(prefix)),
  };
  const dump = () => ({ isConsistent: true, keys: (async function* () {})() });
  const pieces = await Array.fromAsync(backup({ memory, age: "current", dump } as unknown as Ledger));
  const [header, ...lines] = Buffer.concat(pieces).toString().trimEnd().split("\n");
  expect(JSON.parse(header!).topology).toEqual(shape);
  const names = lines.slice(0, -1).map((line) => JSON.parse(line).remembered);
  expect(names).toEqual([
    "bucket photos",
    "id a:1",
    "put-back a:1/sv01",
    "refill a:1/sv00 one",
    "shape",
    "upload 2f61 00",
  ]);
});

test("its time is that of its records, however long what comes before them takes", async () => {
  await using at = await openLevel();
  const store = async (key: string) => {
    await using claim = await at.one.claim(keyOf(key), same);
    await claim.end(holding("a:1"));
  };
  await store("/before");
  const text = backup(at.one);
  const pieces = [(await text.next()).value as Uint8Array];
  await store("/later");
  for await (const piece of text) pieces.push(piece);
  const lines = Buffer.concat(pieces).toString().trimEnd().split("\n").slice(1, -1);
  expect(lines.map((line) => JSON.parse(line).key)).toEqual(["/before"]);
});
