// A walk over all keys goes on where it was, and one process at a time walks.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { parseKey } from "../../src/format/key";
import { openLevelLedger } from "../../src/ledger/level/open";
import { type Walk, walkOn } from "../../src/store/care/walk";
import { type Folder, temporaryFolder } from "../support/folder";
import { until } from "../support/until";
import { opening } from "../ledger/ledgers";

const names = Array.from({ length: 1_500 }, (_, i) => `/key-${String(i).padStart(4, "0")}`);
let folder: Folder;
let opened: Awaited<ReturnType<typeof openLevelLedger>>;

beforeAll(async () => {
  folder = temporaryFolder();
  opened = await openLevelLedger(join(folder.path, "index"), opening);
  for (const name of names) {
    const claim = await opened.ledger.claim(parseKey(name), (before) => before);
    await claim.end({ record: { state: "live", md5: undefined, volumes: ["a:1", "b:1"] }, owed: [] });
  }
});

afterAll(async () => {
  await opened.ledger[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

/** A walk that notes in `seen` what it looks at. */
function walkTo(seen: string[], options: Partial<Walk> = {}): Walk {
  return {
    name: "test",
    counts: true,
    concerns: () => true,
    waitMs: () => 0,
    mayGoOn: () => true,
    async look([key]) {
      seen.push(Buffer.from(key).toString());
    },
    ...options,
  };
}

const never = new AbortController().signal;
const ofAnother = { by: "another", beat: 7, after: parseKey(names[1_000]!).toHex(), done: 0, total: 0, spentMs: 0 };

test("what was looked at before an end is not looked at again, and everything is in the end", async () => {
  const [first, second]: [string[], string[]] = [[], []];
  expect(await walkOn(opened.ledger, walkTo(first, { mayGoOn: () => first.length < 1_200 }), never)).toBeUndefined();
  expect(first.length).toBe(1_200);
  expect(await walkOn(opened.ledger, walkTo(second), never)).toMatchObject({ done: names.length });
  expect([...first, ...second]).toEqual(names);
});

test("progress counts on over an end", async () => {
  const told: number[] = [];
  const tell: Partial<Walk> = {
    name: "told",
    waitMs({ done, total }) {
      expect(total).toBe(names.length);
      told.push(done);
      return 0;
    },
  };
  await walkOn(opened.ledger, walkTo([], { ...tell, mayGoOn: () => told.length < 10 }), never);
  await walkOn(opened.ledger, walkTo([], tell), never);
  expect(told).toEqual(told.toSorted((a, b) => a - b));
  expect(told.at(-1)).toBe(names.length);
});

test("what is counted goes on from where it was", async () => {
  const counts: number[] = [];
  for (const least of [700, 1_500]) {
    const tally = { seen: 0 };
    const look = async () => void tally.seen++;
    await walkOn(opened.ledger, walkTo([], { name: "tally", tally, look, mayGoOn: () => tally.seen < least }), never);
    counts.push(tally.seen);
  }
  expect(counts).toEqual([700, names.length]);
});

test("only what concerns it is looked at", async () => {
  const seen: string[] = [];
  expect(await walkOn(opened.ledger, walkTo(seen, { name: "none", concerns: () => false }), never)).toMatchObject({
    done: names.length,
  });
  expect(seen).toEqual([]);
});

test.concurrent("the walk of another process is left to it while that writes down how far it is", async () => {
  const { memory } = opened.ledger;
  await memory.put("walk alive", ofAnother);
  let { beat } = ofAnother;
  const alive = setInterval(() => void memory.put("walk alive", { ...ofAnother, beat: ++beat }), 500);
  const seen: string[] = [];
  expect(await walkOn(opened.ledger, walkTo(seen, { name: "alive" }), never)).toBeUndefined();
  clearInterval(alive);
  expect(seen).toEqual([]);
});

test.concurrent("the walk of a process that has died is gone on with", async () => {
  await opened.ledger.memory.put("walk dead", ofAnother);
  const seen: string[] = [];
  expect(await walkOn(opened.ledger, walkTo(seen, { name: "dead" }), never)).toMatchObject({
    done: names.length - 1_001,
  });
  expect(seen).toEqual(names.slice(1_001));
});

test.concurrent("a walk that was ended behind its last key has gone over all of them", async () => {
  const last = { ...ofAnother, by: "", after: parseKey(names.at(-1)!).toHex(), done: names.length };
  await opened.ledger.memory.put("walk over", last);
  const seen: string[] = [];
  const ended = await walkOn(opened.ledger, walkTo(seen, { name: "over" }), never);
  expect([seen, ended?.done]).toEqual([[], names.length]);
});

test.concurrent(
  "a walk whose key takes long says all the while that it goes on",
  async () => {
    const { memory } = opened.ledger;
    const beat = async () => ((await memory.get("walk slow")) as { beat: number }).beat;
    const beats = new Set<number>();
    const look = async () => {
      const isAlive = async () => beats.add(await beat()).size >= 3;
      if (beats.size === 0) await until(isAlive, { what: "it is written down again and again", deadlineMs: 20_000 });
    };
    await walkOn(opened.ledger, walkTo([], { name: "slow", look }), never);
    expect(beats.size).toBeGreaterThanOrEqual(3);
  },
  30_000,
);

test("keys that come while it goes on count", async () => {
  await using at = temporaryFolder();
  const grown = await openLevelLedger(join(at.path, "index"), opening);
  await using ledger = grown.ledger;
  const add = async (name: string) => {
    const claim = await ledger.claim(parseKey(name), (before) => before);
    await claim.end({ record: { state: "live", md5: undefined, volumes: ["a:1", "b:1"] }, owed: [] });
  };
  for (let i = 0; i < 8; i++) await add(`/a${i}`);
  const totals = new Set<number>();
  const ended = await walkOn(
    ledger,
    walkTo([], {
      waitMs({ done, total }) {
        expect(done).toBeLessThanOrEqual(total);
        totals.add(total);
        return 0;
      },
      async look([key]) {
        if (Buffer.from(key).toString() === "/a7") for (let i = 0; i < 8; i++) await add(`/b${i}`);
      },
    }),
    never,
  );
  expect([[...totals], ended]).toEqual([[8, 16], expect.objectContaining({ done: 16, total: 16 })]);
});
