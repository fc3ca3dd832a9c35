// Owns the making of a new index beside the old one, and the putting of it in its place. The lock beside the index is held
// from before anything is looked at until after the swap.
import { rmSync } from "node:fs";
import { furthest } from "../../format/epoch";
import { readRecord } from "../../format/record";
import { warn } from "../../log";
import {
  type AllEpochs,
  type IndexNames,
  type Indexes,
  type Owed,
  type OwedByKey,
  type Rebuild,
  accountedFor,
} from "../rebuild";
import { openBeside, requireUnlocked } from "./beside";
import { epochOf, setEpoch } from "./epoch-file";
import { inspectPlace } from "./inspect";
import { journalsOf } from "./journal";
import { type LevelIndex, openLevelIndex, readable } from "./leveldb";
import { warnIfAlone } from "./open";
import { type ReadLine, readJournals } from "./read-journals";
import { bothSuspect, judgeByJournals, judgeIndex, rememberNew, remembered } from "./remembered";
import { cleared, mendSwap, swapIndex } from "./swap";

/**
 * Begins to make a new index.
 * @param allEpochs asks under the lock
 * @throws MkvError failed if another process uses the old one
 */
export async function rebuildLevel(path: string, allEpochs: AllEpochs): Promise<Rebuild> {
  await using undo = new AsyncDisposableStack();
  const memory = undo.use(await openBeside(path));
  mendSwap(path);
  const found = inspectPlace(path);
  if (found.kind !== "none") warnIfAlone(path, memory);
  const seen = await allEpochs();
  const known = await judgeIndex(memory, path, { found, seen });
  // One that is damaged is left as it is: opening it would remove what it does not know.
  if (found.kind === "damaged") {
    await requireUnlocked(path);
    warn(`the index ${path} is damaged (${found.why}): what it knew of hashes and of unlinked keys is not used`);
  }
  const journals = readJournals(path);
  const old = found.kind === "whole" ? undo.use(await openLevelIndex(path)) : undefined;
  const doubt = known ?? (await judgeByJournals(memory, { found, index: old, journals }));
  const earlier = remembered(memory)?.suspect;
  const suspect = bothSuspect(doubt?.suspect, earlier);
  // Where it has served since it was put back, it may have learnt of any of those files.
  const laterMs = (earlier ? undefined : doubt?.laterMs) ?? Number.POSITIVE_INFINITY;
  const folder = cleared(path);
  undo.defer(() => rmSync(folder, { recursive: true, force: true })); // Once it is in place there is none.
  const next = undo.use(await openLevelIndex(folder, { make: true }));
  return Object.assign(undo.move(), {
    names: { next: folder, old: old && path },
    ...{ next, old, memory, suspect: suspect && { ...suspect, laterMs } },
    owedBy: (nameOf: (volume: string) => string) => (doubt ? new Map() : owedIn(journals.lines, { old, nameOf })),
    async swap() {
      await next[Symbol.asyncDispose]();
      await old?.[Symbol.asyncDispose]();
      const epoch = furthest(epochOf(path), seen);
      if (epoch) setEpoch(folder, epoch);
      const { suspect, passed, doubt } = remembered(memory) ?? {};
      await rememberNew(memory, path, { suspect, passed, doubt });
      swapIndex(folder, path);
      if (doubt) for (const journal of journalsOf(path)) rmSync(journal);
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
  lines: ReadonlyMap<string, readonly ReadLine[]>,
  { old, nameOf }: { old: LevelIndex | undefined; nameOf: (volume: string) => string },
): Owed {
  const owed = new Map<string, OwedByKey>();
  for (const [hex, ofKey] of lines) {
    const { key, record, marks, owed: debts } = ofKey.at(-1)!;
    if (debts.length === 0) continue;
    const found = old && readable(() => ({ text: old.getText(key) }));
    const isAbsent = found !== undefined && (found.text === undefined || marks.includes(found.text));
    const known = isAbsent ? undefined : (readRecord(found?.text) ?? readRecord(record));
    if (!known && !isAbsent && record !== undefined) continue; // Nothing is known of the key: its files may be the value.
    owed.set(hex, accountedFor(known, debts, nameOf));
  }
  return owed;
}
