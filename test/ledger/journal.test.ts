// What the journal remembers survives the process, and only what is not settled.
import { expect, test } from "bun:test";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseKey } from "../../src/format/key";
import { type Debt, Journal, debtsBeside } from "../../src/ledger/level/journal";

function place() {
  const folder = mkdtempSync(join(tmpdir(), "mkv-journal-"));
  return { index: join(folder, "db"), folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}

const debt = (name: string, volumes = ["a:1"]): Debt => ({ key: parseKey(name), volumes, marks: ["DELETEDa:1"] });
const first = { thread: 0, inherit: true, sync: false };
const keysOf = (debts: readonly Debt[]) => debts.map(({ key }) => Buffer.from(key).toString()).sort();

test("a debt that is not settled is there after a crash, a settled one is not", async () => {
  using at = place();
  const journal = new Journal(at.index, first);
  await journal.owe(debt("/kept"));
  await journal.owe(debt("/paid"));
  await journal.settle(parseKey("/paid")); // No close: the process was killed.
  expect(keysOf(debtsBeside(at.index))).toEqual(["/kept"]);
  const next = new Journal(at.index, first);
  expect(next.debtOf(parseKey("/kept"))).toEqual(debt("/kept"));
  expect(keysOf(next.debts)).toEqual(["/kept"]);
});

test("what is owed at once is there together", async () => {
  using at = place();
  const journal = new Journal(at.index, first);
  const keys = Array.from({ length: 100 }, (_, i) => `/key-${i}`).sort();
  await Promise.all(keys.map((key) => journal.owe(debt(key))));
  expect(keysOf(debtsBeside(at.index))).toEqual(keys);
});

test("a line torn by a crash is not believed, those before it are", async () => {
  using at = place();
  const journal = new Journal(at.index, first);
  await journal.owe(debt("/whole"));
  appendFileSync(`${at.index}.journal-0`, '{"key":"2f74');
  expect(keysOf(new Journal(at.index, first).debts)).toEqual(["/whole"]);
});

test("the thread that opens first takes over the debts of all", async () => {
  using at = place();
  for (const thread of [0, 1, 2])
    await new Journal(at.index, { ...first, thread, inherit: thread === 0 }).owe(debt(`/of-${thread}`));
  const heir = new Journal(at.index, first);
  expect(keysOf(heir.debts)).toEqual(["/of-0", "/of-1", "/of-2"]);
  expect(readdirSync(at.folder)).toEqual(["db.journal-0"]);
});

test.each([false, true])("the file stays short however much is written, with sync %p", async (sync) => {
  using at = place();
  const journal = new Journal(at.index, { ...first, sync });
  await journal.owe(debt("/kept"));
  const many = sync ? 200 : 20_000;
  for (let i = 0; i < many; i++) {
    await journal.owe(debt(`/key-${i}`, ["localhost:3001/sv00".repeat(sync ? 500 : 1)]));
    await journal.settle(parseKey(`/key-${i}`));
  }
  expect(statSync(`${at.index}.journal-0`).size).toBeLessThan(1.2 * 1024 * 1024);
  expect(keysOf(new Journal(at.index, first).debts)).toEqual(["/kept"]);
});

test("a journal without debts leaves nothing behind", async () => {
  using at = place();
  const journal = new Journal(at.index, first);
  await journal.owe(debt("/paid"));
  await journal.settle(parseKey("/paid"));
  journal.close();
  expect(existsSync(`${at.index}.journal-0`)).toBe(false);
});
