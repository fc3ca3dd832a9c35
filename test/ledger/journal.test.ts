// What the journal remembers survives the process, and only what is not settled.
import { expect, test } from "bun:test";
import { appendFileSync, existsSync, mkdirSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Key, parseKey } from "../../src/format/key";
import { Journal, type Owing } from "../../src/ledger/level/journal";
import { LineNumbers } from "../../src/ledger/level/reached";
import { limits } from "../../src/limits";
import { readJournals, removeDone } from "../../src/ledger/level/replay";
import { temporaryFolder } from "../support/folder";
import { limited } from "../support/limited";
import { codeOf, debt, holding, keyOf, openLevel } from "./ledgers";

function place() {
  const folder = temporaryFolder();
  return {
    index: join(folder.path, "db"),
    folder: folder.path,
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

let n = 0;
const hexOf = (name: string) => parseKey(name).toHex();
const owing = (name: string, volumes = ["a:1"]): Owing => ({
  key: parseKey(name) as Key,
  n: n++,
  record: undefined,
  owed: volumes.map((volume) => ({ volume, kind: "in-flight", sinceMs: 0, untilMs: 0 })),
  dueMs: 0,
});
const paid = (name: string): Owing => ({ ...owing(name, []), record: "a:1" });
const first = { thread: 0, sync: false, numbers: new LineNumbers(LineNumbers.share(0)) };
/** The keys that owe something after a crash. */
const keysOwing = (index: string) =>
  [...readJournals(index).lines.values()]
    .filter(({ owed }) => owed.length > 0)
    .map(({ key }) => Buffer.from(key).toString())
    .sort();

test("a debt that is not paid is there after a crash, a paid one is not", async () => {
  await using at = place();
  const journal = new Journal(at.index, first);
  await journal.owe(hexOf("/kept"), owing("/kept"));
  await journal.owe(hexOf("/paid"), owing("/paid"));
  journal.note(hexOf("/paid"), paid("/paid"));
  await journal.owe(hexOf("/next"), owing("/next")); // It takes along that /paid is paid. No close: the process was killed.
  expect(keysOwing(at.index)).toEqual(["/kept", "/next"]);
  const paidLine = readJournals(at.index).lines.get(hexOf("/paid"));
  expect(paidLine).toMatchObject({ record: "a:1", owed: [], isDone: true, records: [undefined, "a:1"] });
});

test("that a debt is paid is written down soon, though nothing else is", async () => {
  await using at = place();
  const journal = new Journal(at.index, first);
  await journal.owe(hexOf("/paid"), owing("/paid"));
  journal.note(hexOf("/paid"), paid("/paid"));
  const end = performance.now() + 5000;
  while (keysOwing(at.index).length > 0 && performance.now() < end) await Bun.sleep(10);
  expect(keysOwing(at.index)).toEqual([]);
});

test("what is owed at once is there together", async () => {
  await using at = place();
  const journal = new Journal(at.index, first);
  const keys = Array.from({ length: 100 }, (_, i) => `/key-${i}`).sort();
  await Promise.all(keys.map((key) => journal.owe(hexOf(key), owing(key))));
  expect(keysOwing(at.index)).toEqual(keys);
});

test("a line torn by a crash is not believed, those before it are", async () => {
  await using at = place();
  const journal = new Journal(at.index, first);
  await journal.owe(hexOf("/whole"), owing("/whole"));
  appendFileSync(`${at.index}.journal-0`, '{"key":"2f74');
  expect(keysOwing(at.index)).toEqual(["/whole"]);
});

test.each([
  '{"key":"2f6g","n":7,"record":null,"owed":{}}',
  '{"key":"2f6b","n":"7","record":null,"owed":{"in-flight":["a:1"]}}',
  '{"key":"2f6b","n":7,"record":7,"owed":{}}',
  '{"key":"2f6b","n":7,"record":null,"owed":{"in-flight":"a:1"}}',
  '{"key":"2f6b","n":7,"record":null,"owed":null}',
  '"/a key that is no hex"',
  "null",
  "7",
])("a damaged line is left out, and what the others say is believed: %s", async (line) => {
  await using at = place();
  appendFileSync(`${at.index}.journal-0`, `${line}\n`);
  await new Journal(at.index, { ...first, thread: 1 }).owe(hexOf("/whole"), owing("/whole"));
  expect(keysOwing(at.index)).toEqual(["/whole"]);
});

test("the line of a key that was written last counts, and what all threads owe is owed", async () => {
  await using at = place();
  const journals = [0, 1, 2].map((thread) => new Journal(at.index, { ...first, thread }));
  const written = [owing("/key", ["a:1"]), owing("/key", ["b:1"]), owing("/key", ["c:1"])];
  for (const [i, thread] of [2, 0, 1].entries()) await journals[thread]!.owe(hexOf("/key"), written[i]!);
  const line = readJournals(at.index).lines.get(hexOf("/key"))!;
  expect([line.n, line.records.length]).toEqual([written.at(-1)!.n, written.length]);
  expect(line.owed.map(({ volume }) => volume)).toEqual(["c:1", "b:1", "a:1"]);
});

test("the thread that opens first takes over the debts of all", async () => {
  await using at = place();
  for (const thread of [0, 1, 2]) {
    const key = `/of-${thread}`;
    await new Journal(at.index, { ...first, thread }).owe(hexOf(key), owing(key));
  }
  const inherited = ["/of-0", "/of-1", "/of-2"].map((key) => owing(key));
  const heir = new Journal(at.index, { ...first, inherited });
  expect([...heir.owing].length).toBe(3);
  expect(keysOwing(at.index)).toEqual(["/of-0", "/of-1", "/of-2"]);
  expect(readdirSync(at.folder)).toEqual(["db.journal-0"]);
});

test("a journal of version 0.1.0 is read: its debts, and the records that only stood for unfinished work", async () => {
  await using at = place();
  const [kept, settled] = [hexOf("/kept"), hexOf("/settled")];
  const lines = [
    { key: kept, volumes: ["a:1", "b:1"], marks: ["DELETEDb:1,a:1"] },
    { key: settled, volumes: ["a:1"], marks: [] },
    settled,
  ];
  appendFileSync(`${at.index}.journal-0`, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  expect(keysOwing(at.index)).toEqual(["/kept"]);
  expect(readJournals(at.index).lines.get(kept)).toMatchObject({
    marks: ["DELETEDb:1,a:1"],
    owed: [
      { volume: "a:1", kind: "in-flight" },
      { volume: "b:1", kind: "in-flight" },
    ],
  });
});

test.each([false, true])("the file stays short however much is written, with sync %p", async (sync) => {
  await using at = place();
  const journal = new Journal(at.index, { ...first, sync });
  await journal.owe(hexOf("/kept"), owing("/kept"));
  const many = sync ? 200 : 20_000;
  for (let i = 0; i < many; i++) {
    const key = `/key-${i}`;
    await journal.owe(hexOf(key), owing(key, ["localhost:3001/sv00".repeat(sync ? 500 : 1)]));
    journal.note(hexOf(key), paid(key));
  }
  expect(statSync(`${at.index}.journal-0`).size).toBeLessThan(1.2 * 1024 * 1024);
  expect(keysOwing(at.index).filter((key) => key === "/kept")).toEqual(["/kept"]);
});

test("a journal without debts leaves nothing behind, once those of all threads are closed", async () => {
  await using at = place();
  const journals = [0, 1].map((thread) => new Journal(at.index, { ...first, thread }));
  await journals[0]!.owe(hexOf("/owed"), owing("/owed"));
  await journals[1]!.owe(hexOf("/paid"), owing("/paid"));
  journals[1]!.note(hexOf("/paid"), paid("/paid"));
  for (const journal of journals) await journal.close();
  expect(existsSync(`${at.index}.journal-1`)).toBe(true);
  removeDone(at.index);
  expect(readdirSync(at.folder)).toEqual(["db.journal-0"]);
});

test("a journal that cannot be made is told by its name", async () => {
  await using at = place();
  mkdirSync(`${at.index}.journal-0.new`);
  expect(() => new Journal(at.index, first)).toThrow(`${at.index}.journal-0 cannot be written: EISDIR`);
});

test("while no file can be opened the journal grows, with all that is owed; then it is short again", async () => {
  await using at = place();
  const writer = join(import.meta.dir, "journal.crowded.ts");
  const words = ["bash", "-c", 'ulimit -n 100; exec "$0" "$@"', process.execPath, writer, at.index];
  await using child = Bun.spawn(words, { stdout: "pipe", stderr: "inherit" });
  const [crowded, free] = (await child.stdout.text()).trim().split("\n").map(Number);
  expect(crowded).toBeGreaterThan(1.5 * limits.journalBytes);
  expect(free).toBeLessThan(0.5 * limits.journalBytes);
  expect(keysOwing(at.index)).toEqual(["/kept"]);
});

test("with too much unfinished no further key is begun, and what has begun goes on", async () => {
  await using at = await openLevel();
  using _few = limited(limits, { debts: 2 });
  const begin = (key: string) => at.one.claim(keyOf(key), () => ({ record: undefined, owed: [debt("a:1")] }));
  const [claim] = [await begin("/a"), await begin("/b")];
  expect(await codeOf(begin("/c"))).toBe("too-much-owed");
  await claim.put({ record: undefined, owed: [debt("a:1"), debt("b:1")] });
  await claim.end(holding("b:1"));
  await (await begin("/c")).end(holding("a:1"));
});
