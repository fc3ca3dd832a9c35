// Owns the making of an index out of a backup, where there is none or an empty one.
// 1. The lock beside the index is held from before anything is looked at until the end.
// 2. All is written beside, as .NAME.rebuild and .NAME.facts.rebuild. Whatever is killed before `finish` leaves nothing that
//    anybody reads; `swap.ts` puts the index in place. What is owed is kept until then: each process has all of it in memory.
// 3. An index that may lack something is remembered as what it is, an older copy that was put back, before it is in place.
import { rmSync } from "node:fs";
import { MkvError } from "../../errors";
import { limits } from "../../limits";
import { type Draft, type Known, type Lack, addMissing } from "../ledger";
import { openBeside, requireUnlocked } from "./beside";
import { writeDurably } from "./durable";
import { inspectPlace } from "./inspect";
import { journalsOf, textOf } from "./journal";
import { factsOfKnown } from "../facts";
import { factsOf, openFacts, requireWholeFacts } from "./facts";
import { type LevelIndex, openLevelIndex } from "./leveldb";
import { readJournals } from "./read-journals";
import { rememberNew } from "./remembered";
import { cleared, mendSwap, swapIndex } from "./swap";

/**
 * Begins to make an index at this path.
 * @param options.lack what it may lack; undefined if nothing was acknowledged that is not in it
 * @throws MkvError failed if there is an index that is not empty, or cannot be read, or another process uses it
 */
export async function draftLevel(path: string, { lack }: { lack: Lack | undefined }): Promise<Draft> {
  await using undo = new AsyncDisposableStack();
  const memory = undo.use(await openBeside(path));
  mendSwap(path);
  await requireEmpty(path, lack);
  const folder = cleared(path);
  const factsFolder = `${factsOf(path)}.rebuild`;
  const removeFacts = () => rmSync(factsFolder, { recursive: true, force: true });
  removeFacts();
  undo.defer(removeFacts);
  undo.defer(() => rmSync(folder, { recursive: true, force: true })); // Once it is in place there is none.
  const next = undo.use(await openLevelIndex(folder, { make: true }));
  const facts = undo.use(await openLevelIndex(factsFolder, { make: true }));
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
      await facts[Symbol.asyncDispose]();
      removeFacts();
      await rememberNew(memory, path, lack ? { doubt: doubtOf(lack) } : {});
      if (lines.length > 0) writeDurably(journalFor(path), lines.join(""));
      swapIndex(folder, path);
    },
  });
}

/** What lies beside the records already, of the index that was lost, is of a later time than a backup. */
async function addFacts(path: string, facts: LevelIndex): Promise<void> {
  requireWholeFacts(path);
  await using there = await openFacts(path, { sync: false });
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
  if (found.kind === "none") rmSync(journalFor(path), { force: true }); // Of a run that was killed before its index was in place.
  const [journal] = journalsOf(path);
  if (journal === undefined) return;
  const owes = [...readJournals(path).lines.values()].some((ofKey) => ofKey.at(-1)!.owed.length > 0);
  if (owes && found.kind === "whole")
    throw new MkvError("failed", `the index ${path} is not empty (${journal} has unfinished work): ${elsewhere}`);
  // Beside an older index the journals of the lost one are of use: see `replay.ts`.
  if (!lack) throw new MkvError("failed", `${journal} knows of later work than the backup: import without -latest`);
}

/** Where the journal of an import lies: the next process takes it over with the others. */
function journalFor(index: string): string {
  return `${index}.journal-import`;
}
