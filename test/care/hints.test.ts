// A hint is written once, outlives the process, and goes with the key's repair; there is room for so many.
import { expect, spyOn, test } from "bun:test";
import { join } from "node:path";
import { parseKey } from "../../src/format/key";
import { openMemory } from "../../src/ledger/level/memory";
import { limits } from "../../src/limits";
import { Hints, leftOutMs, writtenUnder } from "../../src/store/hints";
import { rememberJob } from "../../src/store/job-memory";
import { temporaryFolder } from "../support/folder";
import { until } from "../support/until";

const written = writtenUnder({ volumes: ["a:1", "b:1"], replicas: 2, subvolumes: 10 });
const key = parseKey("/key");

async function hintsIn(path: string) {
  const memory = await openMemory(join(path, "index"));
  return {
    memory,
    hints: new Hints(memory, Hints.share()),
    [Symbol.asyncDispose]: () => memory[Symbol.asyncDispose](),
  };
}

test("what readers tell again and again is written once", async () => {
  await using at = temporaryFolder();
  await using opened = await hintsIn(at.path);
  const { memory, hints } = opened;
  const put = spyOn(memory, "put");
  for (let i = 0; i < 100; i++) hints.tell(key);
  await until(() => hints.count === 1, { what: "it is written" });
  await new Hints(memory, Hints.share()).add(key, { why: "missing" }); // As another thread.
  expect(put).toHaveBeenCalledTimes(1);
});

test("hints are there after the next start, in the order of their keys, until they are dropped", async () => {
  await using at = temporaryFolder();
  const names = ["/a", "/b", "/c"];
  {
    await using opened = await hintsIn(at.path);
    for (const name of names.toReversed()) await opened.hints.add(parseKey(name), { why: "damaged" });
    await opened.hints.drop({ key: parseKey("/b"), hint: { why: "damaged" } });
    expect(opened.hints.count).toBe(2);
  }
  await using opened = await hintsIn(at.path);
  const page = await opened.hints.page(undefined);
  expect(page.map(({ key, hint }) => [Buffer.from(key).toString(), hint])).toEqual([
    ["/a", { why: "damaged" }],
    ["/c", { why: "damaged" }],
  ]);
  expect(await opened.hints.page(page[1])).toEqual([]);
});

test("what readers tell of a key neither replaces what a write told, nor goes with it", async () => {
  await using at = temporaryFolder();
  await using opened = await hintsIn(at.path);
  const { hints } = opened;
  for (let i = 0; i < 20; i++) {
    const told = [{ why: "missing" }, written, { why: "damaged" }] as const;
    await Promise.all(told.map((hint) => hints.add(key, hint))); // Each looks before any of them has written.
    expect(await hints.page(undefined)).toEqual(
      [written, { why: "damaged" }, { why: "missing" }].map((hint) => ({ key, hint })) as never,
    );
    expect(hints.count).toBe(3);
    await hints.drop({ key, hint: written });
    expect((await hints.page(undefined)).map(({ hint }) => hint.why)).toEqual(["damaged", "missing"]);
    for (const hint of await hints.page(undefined)) await hints.drop(hint);
  }
});

test("more keys than there is room for are not remembered, which is said once, and known until a later rebalance", async () => {
  await using at = temporaryFolder();
  await using opened = await hintsIn(at.path);
  const { hints } = opened;
  const said = spyOn(process.stderr, "write").mockReturnValue(true);
  await hints.add(key, written);
  hints.count = limits.hints;
  await hints.add(parseKey("/more"), written);
  await hints.add(parseKey("/and more"), written);
  await hints.add(key, written);
  const lines = said.mock.calls.map(([line]) => String(line));
  said.mockRestore();
  expect(lines).toEqual([expect.stringContaining("run rebalance")]);
  expect((await hints.page(undefined)).map((hinted) => hinted.key)).toEqual([key]);
  const { memory } = opened;
  const rebalance = (agoMs: number) =>
    rememberJob(memory, "rebalance", { ended: { atMs: Date.now() - agoMs + 90_000, seconds: 90, counts: {} } });
  await rebalance(0);
  expect(await leftOutMs(memory)).toBeGreaterThan(0); // It may have gone over the key before.
  await rebalance(-120_000);
  expect(await leftOutMs(memory)).toBe(0);
});
