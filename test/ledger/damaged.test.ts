// What was written down may have rotted: that costs what it said, and no more. No other key, and no whole command.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { appendFileSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { entryOf, knownOf, writeFacts } from "../../src/ledger/facts";
import { entriesOf } from "../../src/ledger/ledger";
import { openMemory } from "../../src/ledger/level/memory";
import { factsOf, openFacts } from "../../src/ledger/level/leveldb";
import { readJournals } from "../../src/ledger/level/replay";
import { remembered } from "../../src/ledger/level/remembered";
import { parseDatabaseUrl } from "../../src/ledger/postgres/address";
import { openPostgresLedger } from "../../src/ledger/postgres/open";
import { readBackup } from "../../src/ledger/read-backup";
import { temporaryFolder } from "../support/folder";
import { type Postgres, startPostgres } from "../support/postgres";
import { debt, keyOf, live, opening, same } from "./ledgers";

setDefaultTimeout(30_000);
let server: Postgres;
beforeAll(async () => void (server = await startPostgres()));
afterAll(async () => await server[Symbol.asyncDispose]());

const key = keyOf("/key");
const md5 = "0".repeat(32);
const forward = { record: "a:1", bytes: 1, date: "Thu, 01 Jan 2026 00:00:00 GMT", attributes: {} };
const damaged = [
  ...["", "{", "null", "5", '"x"', "[]", '{"md5":5}', '{"attributes":null}', '{"attributes":{"a":5}}'],
  ...['{"attributes":{"a b":"x"}}', '{"attributes":{"a":"x\\ny"}}', '{"attributes":{"a":"\u65e5"}}'],
  ...[{ record: 5 }, { record: "\0" }, { bytes: 1e99 }, { attributes: null }].map((wrong) =>
    JSON.stringify({ forward: { ...forward, ...wrong } }),
  ),
];

test.each(damaged)("what lies beside a record and is damaged is told by its key, and in nobody's way: %p", (facts) => {
  const record = live("a:1");
  expect(() => knownOf(key, record, facts)).toThrow(/beside the record of "\/key" is damaged .*: DELETE the key/);
  expect(entryOf(key, record, { facts, owed: [] })).toEqual({ record, owed: [] });
  expect(writeFacts(facts, { record, owed: [debt("b:1")] })).toBe(facts);
  expect(writeFacts(facts, { record: undefined, owed: [] })).toBeUndefined();
  expect(writeFacts(facts, { record, owed: [], attributes: { a: "b" } })).toBe(
    JSON.stringify({ md5, attributes: { a: "b" } }),
  );
  expect(writeFacts(facts, { record, owed: [debt("a:1", "staged")] })).toBeUndefined(); // A replacement begins.
  // It may have been the commit of what lies staged, which nobody may remove then.
  expect(() => entryOf(key, record, { facts, owed: [debt("a:1", "staged")] })).toThrow(/is damaged/);
});

test("lines of a journal that cannot be what was written are left out, and no other", async () => {
  await using folder = temporaryFolder();
  const index = join(folder.path, "index");
  const line = { key: "2f61", n: 1, record: "a:1", owed: { stray: ["b:1"] } };
  const wrong = [
    ...[{ key: "" }, { key: "2" }, { key: 5 }, { n: -1 }, { n: 1e99 }, { n: "x" }, { record: "\0" }, { record: 5 }],
    ...[{ owed: null }, { owed: { stray: "b:1" } }, { owed: { stray: [5] } }, { owed: { stray: ["\0"] } }],
  ].map((field) => JSON.stringify({ ...line, key: "2f62", ...field }));
  const lines = [...wrong, '"floor 1e9"', `"floor ${"9".repeat(20)}"`, "null", "5", "", "{", JSON.stringify(line), ""];
  appendFileSync(`${index}.journal-0`, lines.join("\n"));
  appendFileSync(`${index}.journal-0.bak`, `${JSON.stringify({ ...line, key: "2f63" })}\n`);
  const read = readJournals(index);
  expect([...read.lines.keys()]).toEqual(["2f61"]);
  expect(read).toMatchObject({ floor: 0, last: 1 });
  mkdirSync(`${index}.journal-1`);
  expect(() => readJournals(index)).toThrow(/^the journal .*journal-1 cannot be read: EISDIR.*run rebuild$/);
});

test("what lies beside the records is named where it cannot be read: a rebuild would not mend it", async () => {
  await using folder = temporaryFolder();
  const index = join(folder.path, "index");
  await using facts = await openFacts(index, { make: true });
  await facts.put(key, "{}");
  await facts[Symbol.asyncDispose]();
  const [table] = readdirSync(factsOf(index)).filter((name) => name.endsWith(".ldb"));
  const path = join(factsOf(index), table!);
  writeFileSync(path, Buffer.alloc(statSync(path).size, "x"));
  await using again = await openFacts(index);
  const why = `${factsOf(index)} cannot be read or written: Corruption: not an sstable (bad magic number): stop the master`;
  expect(again.textIfReadable(key)).toBeUndefined();
  expect(() => again.getText(key)).toThrow(`${why}, restore it, or move it away to go on without it`);
});

test("a backup whose metadata nobody could read again is refused", async () => {
  const lines = (attributes: unknown) => {
    const begin = { mkv: "backup", version: 1, time: "2026-01-01T00:00:00.000Z", topology: null, consistent: true };
    const known = { key: "/key", state: "live", md5, volumes: ["a:1"], attributes };
    return [{ ...begin, behind: false }, known].map((line) => Buffer.from(`${JSON.stringify(line)}\n`));
  };
  for (const attributes of [{ a: "b" }, "x", [5], { a: 5 }, { a: "x\ny" }]) {
    const chunks = (async function* () {
      yield* lines(attributes);
    })();
    const failure = await readBackup(chunks, { header() {}, keys() {} }).catch(({ message }) => message);
    const isRead = Bun.deepEquals(attributes, { a: "b" });
    expect(failure).toMatch(isRead ? /is cut off after line 2/ : /line 2 of the backup says what this version/);
  }
});

test("an index is in doubt where what was remembered of it is damaged", async () => {
  await using folder = temporaryFolder();
  await using memory = await openMemory(join(folder.path, "index"));
  expect(remembered(memory)).toBeUndefined();
  for (const value of [null, 5, "x", [], {}, { manifest: 1, isClosed: true }]) {
    await memory.put("index", value);
    expect(remembered(memory)?.doubt).toMatchObject({ isCertain: true, suspect: { fromMs: 0 } });
  }
});

test("rows that are damaged cost what they said: debts are left out, memory is text, a timeline is noted anew", async () => {
  const url = parseDatabaseUrl(server.url);
  {
    await using ledger = (await openPostgresLedger(url, opening)).ledger;
    await using claim = await ledger.claim(key, same);
    await claim.end({ record: live("a:1"), owed: [debt("b:1", "stray")] });
  }
  await server.query(
    `update mkv_keys set facts = '{', owed = array['x', 'stray 1 1 ' || chr(1), 'stray 1 1 b:1', 'stray 1 9999999999999 b:1']`,
  );
  await server.query("update mkv_memory set value = '{' where name = 'timeline'");
  await server.query("insert into mkv_memory (name, value) values ('a', '{'), ('b', 'null')");
  await using ledger = (await openPostgresLedger(url, opening)).ledger;
  expect((await ledger.owedBy(key)).map(({ volume }) => volume)).toEqual(["b:1"]);
  expect((await Array.fromAsync(ledger.dump().keys)).flat()).toEqual([
    { key: expect.anything(), record: `HASH${md5}a:1`, owed: [{ volume: "b:1", kind: "stray" }] },
  ]);
  const memory = await Array.fromAsync(entriesOf(ledger.memory, ""));
  expect(memory.filter(([name]) => name.length === 1)).toEqual([
    ["a", "{"],
    ["b", null],
  ]);
  await server.query(
    "insert into mkv_memory (name, value) values ('epoch', '{') on conflict (name) do update set value = '{'",
  );
  const failure = await openPostgresLedger(url, opening).catch(({ message }) => message);
  expect(failure).toBe(
    'the row "epoch" of mkv_memory is damaged ("{"): stop all masters, delete that row, start them again',
  );
});
