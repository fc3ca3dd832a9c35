// What a journal redoes in an index that may be older than itself.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { type Key, parseKey } from "../../src/format/key";
import { openLevelIndex } from "../../src/ledger/level/leveldb";
import { type ReadLine, replay } from "../../src/ledger/level/replay";
import { temporaryFolder } from "../support/folder";

const key = parseKey("/key") as Key;
const value = "HASHd41d8cd98f00b204e9800998ecf8427ea:1,b:1";

type Written = { record: string | undefined; inFlight?: string[]; leftOver?: string[] };

/** What the index holds after a replay of these lines, in doubt. */
async function replayed(found: string | undefined, lines: readonly Written[], floor = -1): Promise<string | undefined> {
  await using folder = temporaryFolder();
  await using index = await openLevelIndex(join(folder.path, "index"), { make: true });
  if (found !== undefined) await index.put(key, found);
  const { record, inFlight = [], leftOver = [] } = lines.at(-1)!;
  const owed = [
    ...inFlight.map((volume) => ({ volume, kind: "in-flight" }) as const),
    ...leftOver.map((volume) => ({ volume, kind: "left-over" }) as const),
  ];
  const [n, records] = [lines.length - 1, lines.map((line) => line.record)];
  const read: ReadLine = { key, n, record, marks: [], owed, isDone: owed.length === 0, records };
  const journals = { lines: new Map([[key.toHex(), read]]), floor, last: n };
  await replay(index, journals, { inDoubt: true, graceMs: 0 });
  return index.getText(key);
}

const both = ["a:1", "b:1"];
const write: Written[] = [{ record: undefined, inFlight: both }, { record: value }];
const deletion: Written[] = [{ record: undefined, leftOver: both }, { record: undefined }];

test("a value that was acknowledged, and that the index lacks, is there again", async () => {
  expect(await replayed(undefined, write)).toBe(value);
});

test("a delete that was acknowledged, and that the index does not know of, is done again", async () => {
  expect(await replayed(value, [...write, ...deletion])).toBeUndefined();
});

test("a value that was deleted and written again, byte for byte, is not taken for the first one", async () => {
  expect(await replayed(value, [...write, ...deletion, write[0]!])).toBe(value); // The journal had no time to say more.
  expect(await replayed(value, [...write, ...deletion, ...write])).toBe(value);
});

test("nothing is redone by lines so old that later ones of the key may have been dropped", async () => {
  expect(await replayed(undefined, write, write.length)).toBeUndefined();
});

test("a record of version 0.1.0 that only stood for unfinished work goes, and what it owed is paid", async () => {
  await using folder = temporaryFolder();
  await using index = await openLevelIndex(join(folder.path, "index"), { make: true });
  const mark = "DELETEDb:1,a:1";
  await index.put(key, mark);
  const owed = [{ volume: "a:1", kind: "in-flight" } as const];
  const read: ReadLine = { key, n: 0, record: undefined, marks: [mark], owed, isDone: false, records: [undefined] };
  const journals = { lines: new Map([[key.toHex(), read]]), floor: -1, last: 0 };
  const { inherited } = await replay(index, journals, { inDoubt: false, graceMs: 0 });
  expect([index.getText(key), inherited.map(({ record }) => record)]).toEqual([undefined, [undefined]]);
  expect(inherited[0]!.owed).toMatchObject(owed);
});
