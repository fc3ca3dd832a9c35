// Whether an index is an older copy, after a crash: its journals tell, and are not misread.
import { expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { type Entry, type Ledger } from "../../src/ledger/ledger";
import { joinLevelLedger, openLevelLedger } from "../../src/ledger/level/open";
import { rebuildLevel } from "../../src/ledger/level/next";
import { changeRemembered } from "../jobs/remembered";
import { temporaryFolder } from "../support/folder";
import { until } from "../support/until";
import { debt, keyOf, live, opening, same } from "./ledgers";

setDefaultTimeout(30_000);

/** A ledger of two threads, and what a crash would leave of it: a copy of all that lies there. */
async function start() {
  const folder = temporaryFolder();
  const path = join(folder.path, "db", "index");
  mkdirSync(dirname(path));
  const { ledger: one, shared } = await openLevelLedger(path, opening);
  const other = await joinLevelLedger(path, { sync: false, shared, thread: 1 });
  const ends = new AsyncDisposableStack();
  ends.use(other);
  let copies = 0;
  return {
    ...{ one, other, path, memory: one.memory },
    endOther: () => ends.disposeAsync(),
    copy() {
      const to = join(folder.path, `copy-${copies++}`);
      cpSync(dirname(path), to, { recursive: true });
      return join(to, "index");
    },
    async [Symbol.asyncDispose]() {
      await ends.disposeAsync();
      await one[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Whether it counts as older than the volumes when it is opened. */
async function isOlder(path: string): Promise<boolean> {
  const { ledger } = await openLevelLedger(path, opening);
  await using _closed = ledger;
  return ledger.age !== "current";
}

async function change(ledger: Ledger, name: string, ...steps: Entry[]): Promise<void> {
  await using claim = await ledger.claim(keyOf(name), same);
  for (const step of steps) await claim.put(step);
}

const write = [
  { record: undefined, owed: [debt("a:1")] },
  { record: live("a:1"), owed: [] },
];
const unlink: Entry[] = [{ record: { ...live("a:1"), state: "unlinked" }, owed: [] }];
const writeOver = [{ ...unlink[0]!, owed: [debt("a:1")] }, write[1]!];
const removal = [
  { record: undefined, owed: [debt("a:1", "left-over")] },
  { record: undefined, owed: [] },
];

test.each([
  ["a new key", [], write],
  ["a key that is deleted", write, removal],
  ["a key that is unlinked", write, unlink],
  ["a value that is written again, byte for byte", [...write, ...unlink], writeOver],
] as [string, Entry[], Entry[]][])("an index that was copied before %s is an older one", async (_, before, after) => {
  await using at = await start();
  await change(at.one, "/key", ...before);
  const early = at.copy();
  await change(at.other, "/key", ...after);
  await at.endOther(); // The last line of a key may come a little later, but not after this.
  for (const open of [isOlder, isRebuiltAsOlder]) {
    const late = at.copy();
    rmSync(late, { recursive: true });
    cpSync(early, late, { recursive: true });
    expect(await open(late)).toBe(true);
  }
});

/**
 * Changes two keys, and waits until how far the journals have come is noted after that. What this returns makes a copy in
 * which all is as it was after the first one, but for what is remembered.
 */
async function changeNoted(at: Awaited<ReturnType<typeof start>>): Promise<() => string> {
  await change(at.one, "/early", ...write);
  const early = dirname(at.copy());
  const noted = at.memory.get("reached") as number;
  await change(at.one, "/late", ...write);
  await until(() => (at.memory.get("reached") as number) > noted, { what: "how far the journals have come is noted" });
  return () => {
    const path = at.copy();
    for (const name of readdirSync(early).filter((name) => name !== ".index.mkv")) {
      rmSync(join(dirname(path), name), { recursive: true });
      cpSync(join(early, name), join(dirname(path), name), { recursive: true });
    }
    return path;
  };
}

test("a copy of all but what is remembered, made during a run and put back after a kill, is an older one", async () => {
  await using at = await start();
  const earlierCopy = await changeNoted(at);
  for (const open of [isOlder, isRebuiltAsOlder]) expect(await open(earlierCopy())).toBe(true);
});

test("an index whose disk was mounted anew lacks what its journals have not come to either", async () => {
  await using at = await start();
  const earlierCopy = await changeNoted(at);
  for (const [path, expected] of [
    [at.copy(), false], // All is there.
    [earlierCopy(), true],
  ] as const) {
    await changeRemembered(path, "index", (entry) => ({ ...(entry as object), mount: "another" }));
    expect(await isOlder(path)).toBe(expected);
  }
});

test.each(["stopped", "killed"])(
  "an index of another store, put in the place of one that was %s, is not taken for it",
  async (how) => {
    await using at = await start();
    await using other = temporaryFolder();
    const fill = async (path: string, name: string) => {
      for (let runs = 0; runs < 3; runs++) {
        const { ledger } = await openLevelLedger(path, opening);
        await using _closed = ledger;
        for (let i = 0; i < 5; i++) await change(ledger, `/${name}-${runs}-${i}`, ...write);
      }
    };
    const path = join(at.copy(), "..", "long", "index");
    mkdirSync(dirname(path));
    await fill(path, "ours");
    await fill(join(other.path, "index"), "of another, with longer keys");
    const opened = await openLevelLedger(path, opening);
    if (how === "stopped") await opened.ledger[Symbol.asyncDispose]();
    const late = join(other.path, "late");
    cpSync(dirname(path), late, { recursive: true });
    if (how === "killed") await opened.ledger[Symbol.asyncDispose]();
    await (await openLevelLedger(join(other.path, "index"), opening)).ledger[Symbol.asyncDispose]();
    rmSync(join(late, "index"), { recursive: true });
    cpSync(join(other.path, "index"), join(late, "index"), { recursive: true });
    expect(await isOlder(join(late, "index"))).toBe(true);
  },
);

async function isRebuiltAsOlder(path: string): Promise<boolean> {
  await (await rebuildLevel(path, opening.seenEpochs))[Symbol.asyncDispose](); // It fails: the next one is as wary.
  await using rebuild = await rebuildLevel(path, opening.seenEpochs);
  return rebuild.suspect !== undefined;
}

test("whatever moment a crash chooses, the index is not taken for an older one", async () => {
  await using at = await start();
  let isOver = false;
  const work = async (name: string) => {
    for (let i = 0; i < 3; i++)
      for (const [j, steps] of [write, unlink, writeOver, unlink, removal].entries())
        await change((i + j) % 2 === 0 ? at.one : at.other, name, ...steps);
  };
  const all = Promise.all(["/a", "/b", "/c"].map(work)).finally(() => (isOver = true));
  const copies: string[] = [];
  for (; !isOver; await setImmediate()) copies.push(at.copy());
  await all;
  expect(copies.length).toBeGreaterThan(10);
  for (const copy of copies) expect(await isOlder(copy)).toBe(false);
});

test("a crash between the ends of two threads does not make a settled key look older", async () => {
  await using at = await start();
  await change(at.one, "/key", ...write);
  await change(at.other, "/key", ...removal);
  await change(at.one, "/other", ...write);
  await at.endOther();
  expect(existsSync(`${at.path}.journal-1`)).toBe(true);
  expect(await isOlder(at.copy())).toBe(false);
});

test.each(["stopped", "killed"])(
  "journals of an earlier time beside a damaged index are not believed by a rebuild: the process was %s",
  async (how) => {
    const at = await start();
    await using claim = await at.one.claim(keyOf("/key"), () => write[0]!);
    const earlier = at.copy(); // In the middle of a write.
    await claim.end(write[1]!);
    for (let i = 0; i < 3; i++) await change(at.one, `/more-${i}`, ...write);
    const isNoted = async () => Number(await at.memory.get("reached")) >= 8;
    await until(isNoted, { what: "how far the journals have come is noted" });
    const path = how === "killed" ? at.copy() : at.path;
    if (how === "stopped") {
      await at.endOther();
      await at.one[Symbol.asyncDispose]();
    }
    const owedBy = async () => {
      await using rebuild = await rebuildLevel(path, opening.seenEpochs);
      return [...(await rebuild.owedBy((volume) => volume)).values()].filter(({ rubbish }) => rubbish.length > 0)
        .length;
    };
    rmSync(join(path, "CURRENT"));
    expect(await owedBy()).toBe(0);
    for (const name of readdirSync(dirname(earlier))) {
      if (name.includes("journal")) cpSync(join(dirname(earlier), name), join(dirname(path), name));
    }
    expect(await owedBy()).toBe(0);
    await at[Symbol.asyncDispose]().catch(() => {}); // One that was stopped is closed already.
  },
);

test("of a damaged index a power cut may have taken the journal's last line, also with -sync", async () => {
  await using at = await start();
  await using _claim = await at.one.claim(keyOf("/key"), () => write[0]!);
  const path = at.copy();
  rmSync(join(path, "CURRENT"));
  const owedBy = async () => {
    await using rebuild = await rebuildLevel(path, opening.seenEpochs);
    return [...(await rebuild.owedBy((volume) => volume)).values()].filter(({ rubbish }) => rubbish.length > 0).length;
  };
  await changeRemembered(path, "index", (entry) => ({ ...(entry as object), isSynced: true }));
  expect(await owedBy()).toBe(1);
  await changeRemembered(path, "index", (entry) => ({ ...(entry as object), boot: "an earlier one" }));
  expect(await owedBy()).toBe(0);
});
