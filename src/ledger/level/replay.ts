// Owns the reading of journals, whose format is that of `journal.ts`, and what those of earlier processes mean for the index as
// it is found. After a mere crash of the process the index has all that was put into it. After a power cut, or when an older
// copy was put back, it may lack what its journal knows. Then:
// 1. A key whose record is an earlier one of its own journal gets the last one: what was acknowledged is redone. Not where a
//    write has begun since, nor by lines so old that later ones of the key may have been dropped.
// 2. That such a copy was put back after a crash shows in a key whose last line is done with and has another record.
// 3. No other debt is paid: "absent" may only be forgotten, and the file the only copy. The files stay, for `rebuild`.
import { readFileSync } from "node:fs";
import { nowMs } from "../../clock";
import { MkvError, reasonOf } from "../../errors";
import { type Key } from "../../format/key";
import { readRecord } from "../../format/record";
import { volumesOf } from "../../format/volume";
import { limits } from "../../limits";
import { warn } from "../../log";
import { parsed, shaped } from "../../shape";
import { type BareDebt, debtsByKind, owedByBoth } from "../ledger";
import { remove } from "./durable";
import { type Line, type Owing, floorPrefix, journalsOf } from "./journal";
import { type LevelIndex } from "./leveldb";

/** What journals say of a key: its last line, before it is known what its volumes are owed for. */
export type ReadLine = Line & {
  /** Whether its work was done: then nothing is owed, and the index holds the record. */
  readonly isDone: boolean;
  /** Of version 0.1.0: records that only stood for unfinished work. */
  readonly marks: readonly string[];
  /** The records of all its lines. */
  readonly records: Line["record"][];
};

export type Journals = {
  /** Each key by its hex, about in the order in which they were written. */
  readonly lines: ReadonlyMap<string, ReadLine>;
  /** Lines of these numbers or lower may have been dropped. */
  readonly floor: number;
  /** The highest number of a line. */
  readonly last: number;
};

export function readJournals(index: string): Journals {
  const journals = journalsOf(index).map(readJournal);
  const read = journals.flatMap(({ lines }) => [...lines]).sort(([, a], [, b]) => a.n - b.n);
  const lines = new Map<string, ReadLine>();
  for (const [hex, line] of read) lines.set(hex, together(line, lines.get(hex)));
  const floor = Math.max(0, ...journals.map((journal) => journal.floor));
  return { lines, floor, last: Math.max(floor, read.at(-1)?.[1].n ?? 0) };
}

/**
 * Removes the journals in which nothing is owed. Not before the index is known to be closed: one that is gone may have held
 * the last line of a key of which another has an earlier one.
 */
export function removeDone(index: string): void {
  for (const path of journalsOf(index)) {
    const { lines } = readJournal(path);
    if (lines.values().every(({ owed }) => owed.length === 0)) remove(path);
  }
}

/** Whether the index, as a crash of the process has left it, is an older copy: it lacks what was put into it. */
export function isOlder(index: LevelIndex, { lines, floor }: Journals): boolean {
  return lines.values().some(({ key, n, record, owed, isDone }) => {
    if (!isDone || owed.length > 0 || n <= floor) return false;
    const found = index.textIfReadable(key); // What is damaged tells nothing.
    return found !== undefined && found.text !== record;
  });
}

/**
 * Brings index and journals together.
 * @param options.inDoubt whether the index may be older than the journals
 * @param options.graceMs how long strays stay from now on
 * @returns what is owed, to be paid; how many keys were redone; of how many something is owed that must not be paid; and by the
 * key in hex, volumes that may still carry out a request of an earlier process, whatever the records say
 */
export async function replay(
  index: LevelIndex,
  { lines, floor }: Journals,
  options: { inDoubt: boolean; graceMs: number },
) {
  const inherited: Owing[] = [];
  const barred = new Map<string, readonly string[]>();
  let [redone, doubtful] = [0, 0];
  for (const { key, n, record, marks, owed, records } of lines.values()) {
    let found = index.getText(key);
    const isSure = marks.length === 0 && n > floor && owed.every(({ kind }) => kind !== "in-flight");
    if (options.inDoubt && isSure && found !== record && records.includes(found)) {
      await index.put(key, record, { sync: true });
      found = record;
      redone++;
    }
    if (owed.length === 0) continue;
    barred.set(key.toHex(), volumesOf(owed));
    if (options.inDoubt) doubtful++;
    else {
      if (found !== undefined && marks.includes(found)) await index.put(key, (found = undefined), { sync: true });
      const now = nowMs(); // The last requests of that process may still be on their way.
      const dated = owed.map(({ volume, kind }) => {
        const forMs = kind === "stray" ? options.graceMs : limits.fenceOverMs;
        return { volume, kind, sinceMs: kind === "staged" ? now : 0, untilMs: now + forMs };
      });
      const known = readRecord(found) ? found : record; // A damaged one says nothing to a rebuild.
      inherited.push({ key, n, record: known, owed: dated, dueMs: 0 });
    }
  }
  return { inherited, redone, doubtful, barred };
}

/** What two journals say of a key. Each thread knows its own debts alone: what was in flight may have been deleted since. */
function together(later: ReadLine, earlier: ReadLine | undefined): ReadLine {
  if (!earlier) return later;
  const isOver = ({ kind }: BareDebt) => kind === "in-flight" && later.record === undefined;
  const before = earlier.owed.map((debt) => (isOver(debt) ? { ...debt, kind: "left-over" as const } : debt));
  return {
    ...later,
    owed: owedByBoth(later.owed, before),
    marks: [...later.marks, ...earlier.marks],
    records: [...later.records, ...earlier.records],
  };
}

function readJournal(path: string): Pick<Journals, "lines" | "floor"> {
  const lines = new Map<string, ReadLine>();
  let floor = 0;
  const texts = textOf(path).split("\n");
  texts.pop(); // Empty, or torn by a crash before anything relied on it.
  for (const text of texts) {
    const line = parseLine(path, text);
    if (typeof line === "object") {
      const hex = line.key.toHex();
      const records = lines.get(hex)?.records ?? [];
      records.push(line.record);
      lines.set(hex, { ...line, records });
    } else if (line?.startsWith(floorPrefix)) floor = Number(line.slice(floorPrefix.length));
    else if (line !== undefined) {
      const last = lines.get(line); // None, if it is of a debt before the journal was rewritten.
      if (last) lines.set(line, { ...last, owed: [], marks: [], isDone: true });
    }
  }
  return { lines, floor };
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const text = `the journal ${path} cannot be read: ${reasonOf(error)}`;
    throw new MkvError("failed", `${text}: mend that, or move it away and run rebuild`, { cause: error });
  }
}

type Written = {
  readonly key: string;
  readonly n?: number;
  readonly record?: string | null;
  readonly owed?: { readonly [kind: string]: readonly string[] };
  readonly volumes?: readonly string[];
  readonly marks?: readonly string[];
};

type OwnLine = Omit<ReadLine, "records">;

/** A line of a journal; nothing, with a word about it, if it was torn, or damaged. */
function parseLine(path: string, text: string): OwnLine | string | undefined {
  const line = parsed(text);
  const isWord = typeof line === "string" && line !== text && (hexKey.test(line) || floorLine.test(line));
  const read = isWord ? line : readLine(line);
  if (!read) warn(`${path} holds a torn line, which is left out: ${text.slice(0, 80)}`);
  return read;
}

const hexKey = /^(?:[0-9a-f]{2})+$/;
const floorLine = new RegExp(`^${floorPrefix}\\d{1,15}$`);
const shape = { key: "", "n?": 0, "owed?": { "*": [""] }, "volumes?": [""], "marks?": [""] };

/** Undefined for what is no such line. */
function readLine(line: unknown): OwnLine | undefined {
  const written = shaped<Written>(line, shape);
  if (!written) return undefined;
  const { key, n = 0, record, owed = {}, volumes = [], marks = [] } = written;
  const named = [...(typeof record === "string" ? [record] : []), ...Object.values(owed).flat(), ...volumes];
  const isWhole =
    hexKey.test(key) &&
    (record === null || record === undefined || typeof record === "string") &&
    /^\d{1,15}$/.test(String(n));
  if (!isWhole || !named.every((text) => readRecord(text))) return undefined;
  const old = volumes.map((volume) => ({ volume, kind: marks.length > 0 ? "in-flight" : "left-over" }) as const);
  const parsed = Uint8Array.fromHex(key) as Key;
  return { key: parsed, n, record: record ?? undefined, owed: [...debtsByKind(owed), ...old], marks, isDone: false };
}
