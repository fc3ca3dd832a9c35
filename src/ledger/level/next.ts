// Owns a new index in the making, out of volumes (a rebuild) or out of a backup (a draft), and the putting of it in its place.
// 1. The lock beside the index is held from before anything is looked at until after the swap.
// 2. All is written beside, as .NAME.rebuild and .NAME.facts.rebuild. Whatever is killed before the swap leaves nothing that
//    anybody reads (`swap.ts`). What a backup says to be owed is kept until then: each process has all of it in memory.
// 3. An index that may lack something is remembered as what it is, an older copy that was put back, before it is in place.
import { MkvError } from "../../errors";
import { furthest } from "../../format/epoch";
import { readRecord } from "../../format/record";
import { limits } from "../../limits";
import { warn } from "../../log";
import { factsOfKnown } from "../facts";
import { type Known, addMissing } from "../ledger";
import { type AllEpochs, type Draft, type IndexNames, type Indexes, type Lack, type Owed } from "../next";
import { type OwedByKey, type Rebuild, accountedFor } from "../next";
import { openMemory, requireUnlocked } from "./memory";
import { epochOf, remove, setEpoch, writeDurably } from "./durable";
import { inspectPlace } from "./inspect";
import { journalsOf, textOf } from "./journal";
import { type LevelIndex, factsOf, openFacts, openLevelIndex, requireWholeFacts } from "./leveldb";
import { warnIfAlone } from "./open";
import { type ReadLine, readJournals } from "./replay";
import { bothSuspect, judgeByJournals, judgeIndex, rememberNew, remembered } from "./remembered";
import { cleared, swapIndex } from "./swap";
import { type Unpaid, forgetKnown, rememberUnpaid, unpaidIn } from "./unpaid";

/**
 * Begins to make a new index.
 * @param allEpochs asks under the lock
 * @throws MkvError failed if another process uses the old one
 */
export async function rebuildLevel(path: string, allEpochs: AllEpochs): Promise<Rebuild> {
  await using undo = new AsyncDisposableStack();
  const memory = undo.use(await openMemory(path));
  const found = inspectPlace(path);
  warnIfAlone(path, memory);
  const seen = await allEpochs();
  const known = await judgeIndex(memory, path, { found, seen });
  // One that is damaged is left as it is: opening it would remove what it does not know.
  if (found.kind === "damaged") {
    await requireUnlocked(path);
    warn(`the index ${path} is damaged (${found.why}): what it knew of hashes and of unlinked keys is not used`);
  }
  const journals = readJournals(path);
  const old = found.kind === "whole" ? undo.use(await openLevelIndex(path)) : undefined;
  const doubt = known?.isCertain ? known : ((await judgeByJournals(memory, { found, index: old, journals })) ?? known);
  const earlier = remembered(memory)?.suspect;
  const suspect = bothSuspect(doubt?.suspect, earlier);
  // Where it has served since it was put back, it may have learnt of any of those files.
  const laterMs = (earlier ? undefined : doubt?.laterMs) ?? Number.POSITIVE_INFINITY;
  const unpaid = doubt ? await rememberUnpaid(memory, journals) : await unpaidIn(memory);
  const folder = cleared(path);
  const next = await makeIn(undo, folder);
  return Object.assign(undo.move(), {
    names: { next: folder, old: old && path },
    next,
    old,
    memory,
    suspect: suspect && { ...suspect, laterMs },
    owedBy: (currentName: (volume: string) => string) =>
      owedIn(doubt ? new Map() : journals.lines, { old, unpaid, currentName }),
    async swap() {
      await forgetKnown(memory, unpaid, next); // Whatever becomes of the swap: their files are values.
      await next[Symbol.asyncDispose]();
      await old?.[Symbol.asyncDispose]();
      const epoch = furthest(epochOf(path), seen);
      if (epoch) setEpoch(folder, epoch);
      const before = remembered(memory);
      await rememberNew(memory, path, { suspect: before?.suspect, passed: before?.passed, doubt: before?.doubt });
      swapIndex(path);
      if (before?.doubt) for (const journal of journalsOf(path)) remove(journal);
      await rememberNew(memory, path, {});
    },
  });
}

/** Opens both for another thread. Throws MkvError failed. */
export async function joinLevelRebuild(names: IndexNames): Promise<Indexes> {
  await using undo = new AsyncDisposableStack();
  const next = undo.use(await openLevelIndex(names.next));
  const old = names.old === undefined ? undefined : undo.use(await openLevelIndex(names.old));
  return Object.assign(undo.move(), { next, old });
}

/** What must not be taken for values. Where the index cannot be read, the journal says what it held. */
function owedIn(
  lines: ReadonlyMap<string, ReadLine>,
  how: { old: LevelIndex | undefined; unpaid: Unpaid; currentName: (volume: string) => string },
): Owed {
  const { old, unpaid, currentName } = how;
  const owed = new Map<string, OwedByKey>();
  for (const [hex, { key, record, marks, owed: debts }] of lines) {
    if (debts.length === 0) continue;
    const found = old?.textIfReadable(key);
    const isAbsent = found !== undefined && (found.text === undefined || marks.includes(found.text));
    const known = isAbsent ? undefined : (readRecord(found?.text) ?? readRecord(record));
    owed.set(hex, accountedFor(known, debts, currentName));
  }
  for (const [hex, { volumes, beforeMs }] of unpaid) {
    const rest = owed.get(hex) ?? accountedFor(undefined, [], currentName);
    owed.set(hex, { ...rest, unpaid: { volumes: volumes.map(currentName), beforeMs } });
  }
  return owed;
}

/**
 * Begins to make an index at this path.
 * @param options.lack what it may lack; undefined if nothing was acknowledged that is not in it
 * @throws MkvError failed if there is an index that is not empty, or cannot be read, or another process uses it
 */
export async function draftLevel(path: string, { lack }: { lack: Lack | undefined }): Promise<Draft> {
  await using undo = new AsyncDisposableStack();
  const memory = undo.use(await openMemory(path));
  await requireEmpty(path, lack);
  const next = await makeIn(undo, cleared(path));
  const facts = await makeIn(undo, `${factsOf(path)}.rebuild`);
  const lines: string[] = [];
  return Object.assign(undo.move(), {
    memory,
    async putAll(keys: readonly Known[]) {
      const recorded = keys.filter(({ record }) => record !== undefined);
      await Promise.all(recorded.map(({ key, record }) => next.put(key, record)));
      const beside = keys.map((known) => ({ key: known.key, text: factsOfKnown(known) }));
      await Promise.all(beside.map(({ key, text }) => text !== undefined && facts.put(key, text)));
      for (const known of keys)
        if (known.owed.length > 0) lines.push(textOf(known.key.toHex(), { ...known, n: lines.length + 1 }));
    },
    async finish(entries: ReadonlyMap<string, unknown>) {
      await next[Symbol.asyncDispose]();
      await addMissing(memory, entries); // What is remembered here already is of a later time than a backup.
      await addFacts(path, facts);
      await rememberNew(memory, path, lack ? { doubt: doubtOf(lack) } : {});
      if (lines.length > 0) writeDurably(journalFor(path), lines.join(""));
      swapIndex(path);
    },
  });
}

/** What lies beside the records already, of the index that was lost, is of a later time than a backup. */
async function addFacts(path: string, facts: LevelIndex): Promise<void> {
  requireWholeFacts(path);
  await using there = await openFacts(path, { make: true });
  for await (const page of facts.scan({})) {
    const missing = page.filter(([key]) => there.getText(key) === undefined);
    await Promise.all(missing.map(([key, text]) => there.put(key, text)));
  }
}

function doubtOf({ why, fromMs, laterMs }: Lack) {
  const suspect = { fromMs: fromMs - limits.datesAheadMs };
  const later = laterMs === undefined ? {} : { laterMs: laterMs + limits.datesAheadMs };
  return { why: `it ${why}`, isCertain: true, suspect, ...later };
}

/** Throws MkvError failed if anything is known at this path that an import would hide. */
async function requireEmpty(path: string, lack: Lack | undefined): Promise<void> {
  const found = inspectPlace(path);
  if (found.kind !== "none") await requireUnlocked(path);
  const elsewhere = "name another -db, or move it away";
  if (found.kind === "damaged")
    throw new MkvError("failed", `the index ${path} is damaged (${found.why}): ${elsewhere}`);
  if (found.kind === "whole") {
    await using index = await openLevelIndex(path);
    for await (const page of index.scan({}, { atOnce: 1 }))
      if (page.length > 0) throw new MkvError("failed", `the index ${path} is not empty: ${elsewhere}`);
  }
  if (found.kind === "none") remove(journalFor(path)); // Of a run that was killed before its index was in place.
  const [journal] = journalsOf(path);
  if (journal === undefined) return;
  const { lines } = readJournals(path);
  const owes = lines.values().some(({ owed }) => owed.length > 0);
  if (owes && found.kind === "whole")
    throw new MkvError("failed", `the index ${path} is not empty (${journal} has unfinished work): ${elsewhere}`);
  // Beside an older index the journals of the lost one are of use: see `replay.ts`.
  if (!lack) throw new MkvError("failed", `${journal} knows of later work than the backup: import without -latest`);
}

/** Where the journal of an import lies: the next process takes it over with the others. */
function journalFor(index: string): string {
  return `${index}.journal-import`;
}

/** A new index in this folder, until the stack is disposed of: once it is in its place nothing lies here. */
async function makeIn(undo: AsyncDisposableStack, folder: string): Promise<LevelIndex> {
  remove(folder);
  undo.defer(() => remove(folder));
  return undo.use(await openLevelIndex(folder, { make: true }));
}
