// Room for what is owed: it is shared by all threads, and moves wait for it, but not for ever.
import { expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { limits } from "../../src/limits";
import { type Entry, type Ledger } from "../../src/ledger/ledger";
import { joinLevelLedger, openLevelLedger } from "../../src/ledger/level/open";
import { owe, roomForStrays } from "../../src/store/debts";
import { opening } from "../ledger/ledgers";
import { temporaryFolder } from "../support/folder";

setDefaultTimeout(60_000);

test("what threads owe together has a bound, so that the first thread of the next start can take it over", async () => {
  await using folder = temporaryFolder();
  const path = join(folder.path, "index");
  const before = await openLevelLedger(path, opening);
  await before.ledger[Symbol.asyncDispose]();
  const lines = Array.from({ length: limits.debts - 2 }, (_, i) => {
    const key = Buffer.from(`/deleted-${i}`).toString("hex");
    return `${JSON.stringify({ key, n: 1_000 + i, record: null, owed: { "left-over": ["a:1"] } })}\n`;
  });
  writeFileSync(`${path}.journal-0`, lines.join(""));
  const { ledger, shared } = await openLevelLedger(path, opening);
  await using one = ledger;
  await using other = await joinLevelLedger(path, { sync: false, shared, thread: 1 });
  const begin = ({ owed }: Entry): Entry => ({ record: undefined, owed: owe(owed, ["a:1"], { kind: "left-over" }) });
  const writes = (thread: Ledger, name: string) => thread.claim(Buffer.from(name) as never, begin);
  await using first = await writes(one, "/first");
  await using second = await writes(other, "/second");
  expect(other.owing).toBe(limits.debts);
  for (const thread of [one, other])
    await expect(writes(thread, "/third")).rejects.toMatchObject({ code: "too-much-owed" });
  await first.end({ record: undefined, owed: [] });
  await using third = await writes(other, "/third");
  expect([second.entry.owed.length, third.entry.owed.length]).toEqual([1, 1]);
});

test("moves wait together for room: after that each fails at once, until there is some", async () => {
  let owing = limits.debtsWithMoves as number;
  const store = {
    get ledger() {
      return { owing } as Ledger;
    },
    graceMs: 300 - limits.unsyncedMs,
  };
  const waitedMs = async () => {
    const sinceMs = performance.now();
    await expect(roomForStrays(store)).rejects.toMatchObject({ code: "too-much-owed" });
    return performance.now() - sinceMs;
  };
  expect(await waitedMs()).toBeGreaterThan(250);
  expect(await waitedMs()).toBeLessThan(50);
  owing = 0;
  await roomForStrays(store);
  owing = limits.debtsWithMoves;
  expect(await waitedMs()).toBeGreaterThan(250);
});
