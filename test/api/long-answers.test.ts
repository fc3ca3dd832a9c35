// Answers that are long, or long to find: what they take is bounded, and one that breaks off is not taken for whole.
import { expect, test } from "bun:test";
import { Lists, answerList } from "../../src/api/native/list";
import { Exports } from "../../src/api/native/sending";
import { streamed } from "../../src/api/stream";
import { parseKey } from "../../src/format/key";
import { limits } from "../../src/limits";
import { type Store } from "../../src/store/store";
import { limited } from "../support/limited";

test("an answer that fails on its way breaks off", async () => {
  async function* chunks() {
    yield Buffer.from("first");
    throw new Error("the disk is gone");
  }
  const reader = streamed(chunks()).getReader();
  expect(Buffer.from((await reader.read()).value!).toString()).toBe("first");
  await expect(reader.read()).rejects.toThrow("the disk is gone");
});

test("a client that goes while a chunk is made is not waited for", async () => {
  using _soon = limited(limits, { slowReaderMs: 10 });
  let cuts = 0;
  const [begun, made] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  async function* chunks() {
    begun.resolve();
    await made.promise;
    yield Buffer.from("late");
  }
  const reader = streamed(chunks(), () => cuts++).getReader();
  const read = reader.read();
  await begun.promise;
  const gone = reader.cancel();
  made.resolve();
  await Promise.all([read, gone]);
  await Bun.sleep(50); // As long as it would be waited for, not a wait for something to happen.
  expect(cuts).toBe(0);
});

test("more exports at once than may be are refused, until one of them ends", async () => {
  const dump = () => ({ isConsistent: true, keys: (async function* () {})() });
  const ledger = { memory: { page: () => [], get: () => undefined }, age: "current", dump };
  const exports = new Exports();
  const answer = () => exports.answer({ ledger } as unknown as Store, () => {});
  const underWay = Array.from({ length: limits.exportsAtOnce }, answer);
  expect(answer).toThrow("exports are under way: let them end first");
  expect(await underWay[0]!.text()).toContain('"end":"backup"');
  expect(answer().status).toBe(200);
});

test("a page that is long to find takes its turn with the long lists, a short one does not", async () => {
  const lists = new Lists();
  const answerFrom = async (records: number) => {
    async function* list() {
      for (let left = records; left > 0; left -= limits.scanKeys)
        yield Array.from({ length: Math.min(left, limits.scanKeys) }, (_, i) => [`/${i}`, "DELETEDa:1"] as const);
      yield [["/last", "a:1"]] as const;
    }
    const request = new Request("http://localhost/");
    const parameters = [{ name: "limit", value: Buffer.from("1") }];
    const asked = { request, method: "GET", cut() {} };
    const store = { ledger: { list } } as unknown as Store;
    const answer = await answerList({ store, lists }, parseKey("/"), { kind: "list", parameters, asked });
    return await answer.text();
  };
  const turns = new DisposableStack();
  for (let i = 0; i < limits.listsAtOnce; i++) turns.use(await lists.turns.enter());
  const found = '{"next":"","keys":["/last"]}';
  expect(await answerFrom(limits.pageRecords - 1)).toBe(found);
  let isFound = false;
  const long = answerFrom(limits.pageRecords + 1).finally(() => (isFound = true));
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
  expect(isFound).toBe(false);
  turns.dispose();
  expect(await long).toBe(found);
});

test("a page counts until it is read, unless it is short", async () => {
  using _little = limited(limits, { pagesBytes: 2 * limits.shortAnswerBytes });
  const lists = new Lists();
  const pageOf = (bytes: number) => {
    async function* list() {
      yield [[`/${"k".repeat(bytes)}`, "a:1"]] as const;
    }
    const asked = { request: new Request("http://localhost/"), method: "GET", cut() {} };
    const parameters = [{ name: "limit", value: Buffer.from("1") }];
    const store = { ledger: { list } } as unknown as Store;
    return answerList({ store, lists }, parseKey("/"), { kind: "list", parameters, asked });
  };
  const long = 1.5 * limits.shortAnswerBytes;
  const unread = await pageOf(long);
  await expect(pageOf(long)).rejects.toThrow("too many long answers");
  for (let i = 0; i < 5; i++) await pageOf(limits.shortAnswerBytes / 4);
  expect((await unread.text()).length).toBeGreaterThan(long);
  await (await pageOf(long)).text();
});
