// What journals in doubt owe is remembered for rebuilds, from every doubt: what is no value for certain.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { openMemory } from "../../src/ledger/level/memory";
import { rebuildLevel } from "../../src/ledger/level/next";
import { type Journals, type ReadLine } from "../../src/ledger/level/replay";
import { rememberUnpaid, unpaidIn } from "../../src/ledger/level/unpaid";
import { temporaryFolder } from "../support/folder";
import { debt, keyOf, live, opening } from "./ledgers";

function journalsOf(owedBy: Record<string, ReturnType<typeof debt>[]>, record?: string): Journals {
  const lines = Object.entries(owedBy).map(([name, owed], n): [string, ReadLine] => {
    const line = { key: keyOf(name), n, record, owed, isDone: false, marks: [], records: [] };
    return [line.key.toHex(), line];
  });
  return { lines: new Map(lines), floor: 0, last: lines.length };
}

test("each doubt adds volumes, of what a move, a delete or a write has left at the place of a value", async () => {
  await using at = temporaryFolder();
  await using memory = await openMemory(join(at.path, "index"));
  const hex = (name: string) => keyOf(name).toHex();
  await rememberUnpaid(memory, journalsOf({ "/a": [debt("a:1", "left-over"), debt("s:1", "staged")], "/done": [] }));
  await rememberUnpaid(
    memory,
    journalsOf({ "/a": [debt("b:1", "left-over")], "/b": [debt("a:1", "stray"), debt("c:1", "in-flight")] }),
  );
  await rememberUnpaid(memory, journalsOf({ "/c": [debt("a:1"), debt("b:1"), debt("s:1", "staged")] }, "b:1,c:1"));
  await rememberUnpaid(memory, journalsOf({}));
  expect([...(await unpaidIn(memory))].map(([name, { volumes }]) => [name, volumes])).toEqual([
    [hex("/a"), ["a:1", "b:1"]],
    [hex("/b"), ["a:1"]],
    [hex("/c"), ["a:1"]],
  ]);
});

test("what was left of a key is forgotten with the rebuild that finds a value of it", async () => {
  await using at = temporaryFolder();
  const path = join(at.path, "index");
  {
    await using memory = await openMemory(path);
    const left = [debt("a:1", "left-over")];
    await rememberUnpaid(memory, journalsOf({ "/found": left, "/gone": left }));
  }
  const known: string[][] = [];
  for (let rebuilds = 0; rebuilds < 2; rebuilds++) {
    await using rebuild = await rebuildLevel(path, opening.seenEpochs);
    known.push([...(await rebuild.owedBy((volume) => volume)).keys()]);
    await rebuild.next.putAll([{ key: keyOf("/found"), record: live("a:1") }]);
    await rebuild.swap();
  }
  const [found, gone] = ["/found", "/gone"].map((name) => keyOf(name).toHex()) as [string, string];
  expect(known).toEqual([[found, gone], [gone]]);
});
