// Owns a ledger in the making: out of volumes, what a rebuild needs of the old index and the new one, and what unfinished work
// says of files (which are no values, and which are copies that a move made or leaves); or out of a backup.
import { type Epoch } from "../format/epoch";
import { type Key } from "../format/key";
import { type ValueRecord } from "../format/record";
import { volumesOf } from "../format/volume";
import { type BareDebt, type KeyRange, type KeyRecord, type Known, type Memory, type RawEntry } from "./ledger";

export type ReadIndex = {
  get(key: Key): ValueRecord | undefined | Promise<ValueRecord | undefined>;
  scan(range: KeyRange): AsyncIterable<readonly RawEntry[]>;
};

export type WrittenIndex = ReadIndex & { putAll(entries: readonly KeyRecord[]): Promise<void> };

/** A new index in the making, and the old one, which is undefined if it cannot be read. */
export type Indexes = AsyncDisposable & { readonly next: WrittenIndex; readonly old: ReadIndex | undefined };

/** Asks all volumes how far their store has come. Throws MkvError volume-failed, timeout: one does not say. */
export type AllEpochs = () => Promise<readonly Epoch[]>;

/** What they are called, for threads that open the same: folders or tables. */
export type IndexNames = { readonly next: string; readonly old: string | undefined };

/** The same for the first thread of a rebuild. Disposing of it before the swap leaves the old one as it was. */
export type Rebuild = Indexes & {
  readonly names: IndexNames;
  readonly memory: Memory;
  readonly suspect: SuspectFiles | undefined;
  /** What unfinished work has left, by the names that volumes have now. */
  owedBy(currentName: (volume: string) => string): Owed | Promise<Owed>;
  /** Puts the new index in the place of the old one. */
  swap(): Promise<void>;
};

/**
 * When files were written of which an old index may say what was true of an earlier write: wall time in milliseconds.
 * From `laterMs` on, all it says of them is.
 */
export type SuspectFiles = { readonly fromMs: number; readonly laterMs: number };

/** What unfinished work accounts for, by key in hex. */
export type Owed = ReadonlyMap<string, OwedByKey>;

export type OwedByKey = {
  /** Where files are no values. */
  readonly rubbish: readonly string[];
  /** Where good copies are on their way out. */
  readonly strays: readonly string[];
  /** Where a move was making copies of the live value: after a power cut they may have its length alone. */
  readonly unproven: readonly string[];
  /** Where files that are older than this are no values, unless the old index knows the key, or may lack it. */
  readonly unpaid?: { readonly volumes: readonly string[]; readonly beforeMs: number };
  /** The value was about to be replaced: of which write the files are, only their bytes tell. */
  readonly isReplaced: boolean;
};

/** What the debts of a key account for, by the names that volumes have now. */
export function accountedFor(
  known: ValueRecord | undefined,
  debts: readonly BareDebt[],
  currentName: (volume: string) => string,
): OwedByKey {
  const volumes = known?.volumes.map(currentName) ?? [];
  const isReplaced = debts.some(({ kind }) => kind === "staged");
  const placed = debts.filter(({ kind }) => kind !== "staged"); // No staged file lies where values do.
  const outside = placed.map(({ volume, kind }) => ({ volume: currentName(volume), kind }));
  const unnamed = outside.filter(({ volume }) => !volumes.includes(volume));
  const isUnproven = ({ kind }: BareDebt) => kind === "in-flight" && known?.state === "live";
  const isStray = ({ kind }: BareDebt) => kind === "stray" && known !== undefined;
  return {
    rubbish: volumesOf(unnamed.filter((debt) => !isUnproven(debt) && !isStray(debt))),
    strays: volumesOf(unnamed.filter(isStray)),
    unproven: volumesOf(unnamed.filter(isUnproven)),
    isReplaced,
  };
}

/** A ledger in the making, out of a backup. Disposing of it before `finish` leaves everything as it was. */
export type Draft = AsyncDisposable & {
  /** What is remembered where it is made. */
  readonly memory: Memory;
  /** Puts keys that are not in it yet. */
  putAll(keys: readonly Known[]): Promise<void>;
  /** Puts it in place, with what it is to remember, in one step: before that nothing of it is served. */
  finish(memory: ReadonlyMap<string, unknown>): Promise<void>;
};

/** What a ledger in the making may lack of what was acknowledged. */
export type Lack = {
  /** Why, in words that follow "it". */
  readonly why: string;
  /** Time of the wall: all that was written before is in it. */
  readonly fromMs: number;
  /** Nothing that was written later is in it; undefined if that is not known. */
  readonly laterMs: number | undefined;
};
