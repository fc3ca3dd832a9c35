// Owns what the rest of mkv asks of whoever knows the keys: what is known of a key, who is at work on it, and what that work
// may have left on volumes. LevelDB with a journal and locks beside it is one (`level/`); a ledger that several masters share
// fits behind it as well: nothing of LevelDB shows here, and reading may take time.
//
// An operation is a claim, work on volumes, an end. Between the two nobody else changes the key; what is to hold if the
// process dies in between was written down with the claim.
import { type Epoch } from "../format/epoch";
import { type Key } from "../format/key";
import { type ValueRecord } from "../format/record";
import { limits } from "../limits";
import { inBatches } from "../turns";

/** What debts there are, in the order in which they are written down. */
export const debtKinds = ["in-flight", "left-over", "stray", "staged"] as const;

/**
 * A volume that may hold a file of a key which the record does not account for. A volume that the record names is never
 * touched on the strength of a debt.
 */
export type Debt = {
  readonly volume: string;
  /**
   * `in-flight`: of a write that is not acknowledged. `left-over`: of a value that was deleted, or of a write that failed.
   * `stray`: a good copy of the recorded value where it does not belong any more; it goes when the others have been seen.
   * `staged`: not at the value's place but at its staged one (`store/forward.ts`), of a value that was to replace another.
   */
  readonly kind: (typeof debtKinds)[number];
  /** When it was found out, by `nowMs`: what has waited for long is looked at more rarely. */
  readonly sinceMs: number;
  /** Until then, by `nowMs`, the file stays (a stray), or a request that is still on its way may bring it back. */
  readonly untilMs: number;
};

/** A debt without its times, which are those of one process. */
export type BareDebt = Pick<Debt, "volume" | "kind">;

/** Debts that were written down by their kinds. */
export function debtsByKind(owed: { readonly [kind: string]: readonly string[] }): BareDebt[] {
  const kinds = Object.keys(owed).filter((name) => debtKinds.some((kind) => kind === name)) as Debt["kind"][];
  return kinds.flatMap((kind) => owed[kind]!.map((volume) => ({ volume, kind })));
}

/** Which file of its key a debt is of: on one volume a key may owe one where its value lies, and a staged one. */
export function fileOf({ kind, volume }: BareDebt): string {
  return kind === "staged" ? `staged ${volume}` : volume;
}

/** Debts of both lists: where two are of one file, the one of `later` counts. */
export function owedByBoth<D extends BareDebt>(later: readonly D[], earlier: readonly D[]): readonly D[] {
  const rest = earlier.filter((debt) => !later.some((other) => fileOf(other) === fileOf(debt)));
  return rest.length === 0 ? later : [...later, ...rest];
}

/** What a dialect keeps of a value beside its record: its type for one. Small; none is as good as `{}`. */
export type Attributes = Readonly<Record<string, string>>;

/** The committed replacement of a value: its files lie staged on the volumes of this record, and are about to be moved. */
export type Forward = {
  readonly record: ValueRecord;
  /** The record of the value that is replaced, as it is written down: the replacement is of no other. */
  readonly over?: string;
  /** The length of the files, and their HTTP date: no other write of the key has it. */
  readonly bytes: number;
  readonly date: string;
  readonly attributes: Attributes;
};

/** What is known of a value: `attributes` are those of the record's MD5, never of another write. */
export type KnownValue = {
  readonly record: ValueRecord | undefined;
  readonly attributes?: Attributes | undefined;
  readonly forward?: Forward | undefined;
};

/**
 * What is known of a key. Without record and debts: nothing. Where it is put without attributes, those that are there stay
 * for as long as the record has their MD5.
 */
export type Entry = KnownValue & { readonly owed: readonly Debt[] };

export type KeyRecord = { readonly key: Key; readonly record: ValueRecord };

/** A key with its record as it is written down: whoever scans many decodes what it needs (`format/record.ts`). */
export type RawEntry = readonly [key: Key, record: string];

/** The same, with the key as `showKey` shows it. */
export type ShownEntry = readonly [key: string, record: string];

/** All that is known of a key, with its record as it is written down: what a backup is made of. */
export type Known = Omit<KnownValue, "record"> & {
  readonly key: Key;
  readonly record: string | undefined;
  readonly owed: readonly BareDebt[];
};

/** A range of keys, bytewise: `start` inclusive, `end` exclusive; without one, unbounded on that side. */
export type KeyRange = { readonly start?: Uint8Array | undefined; readonly end?: Uint8Array | undefined };

export type ClaimOptions = {
  /** What is probably known of the key; a wrong guess costs another way to a ledger that is elsewhere. */
  readonly expect?: "nothing" | "something";
  /**
   * Whether bodies are streamed to volumes under this claim. They take them for longer, so that a key whose owner died in
   * the middle of one may have to wait longer for the next.
   */
  readonly sends?: "short" | "streams";
};

/** A key that nobody else changes. Disposing of it gives the key back as it was put last; what is owed stays owed. */
export type Claim = AsyncDisposable & {
  readonly key: Key;
  readonly entry: Entry;
  /** Volumes that may still carry out a request for this key which a process before this one has sent. */
  readonly barred: readonly string[];
  /** By `nowMs`: until then a request to a volume may be sent, and the claim ended. */
  readonly untilMs: number;
  /**
   * Puts this in the place of what is there, in one step: after a crash one of the two holds, and all debts of both. With `sync`
   * it is on the disk when the promise resolves.
   */
  put(entry: Entry, options?: { sync?: boolean }): Promise<void>;
  /** Puts this and gives the key back: the commit. What is owed is looked at again after `againMs`, or at once. */
  end(entry: Entry, options?: { againMs?: number }): Promise<void>;
};

/** What a store remembers beside its keys: small values by name, as JSON. Whoever reads one looks at its shape: it may have rotted. */
export type Memory = {
  /** The value of this name, or a promise of it; undefined if there is none. */
  get(name: string): unknown;
  put(name: string, value: unknown): Promise<void>;
  delete(name: string): Promise<void>;
  /** What begins with `prefix`, in the order of the names' bytes: the first `atMost` after the name `after`, or of all. */
  page(prefix: string, options: { after?: string | undefined; atMost: number }): MemoryPage | Promise<MemoryPage>;
};

export type MemoryPage = readonly (readonly [name: string, value: unknown])[];

/** All that is remembered under names that begin with `prefix`, in the order of their bytes. */
export async function* entriesOf(memory: Memory, prefix: string): AsyncGenerator<MemoryPage[number]> {
  for (let after: string | undefined; ;) {
    const page = await memory.page(prefix, { after, atMost: limits.batchRecords });
    yield* page;
    if (page.length < limits.batchRecords) return;
    after = page.at(-1)![0];
  }
}

/** Remembers what of this is not remembered yet. */
export async function addMissing(memory: Memory, entries: ReadonlyMap<string, unknown>): Promise<void> {
  await inBatches([...entries], limits.movesAtOnce, async ([name, value]) => {
    if ((await memory.get(name)) === undefined) await memory.put(name, value);
  });
}

/** Everything throws MkvError: failed if it cannot be read or written, corrupt for a damaged record, away if it cannot be asked. */
export type Ledger = AsyncDisposable & {
  readonly memory: Memory;
  readonly age: Age;
  get(key: Key): ValueRecord | undefined | Promise<ValueRecord | undefined>;
  /** The same with what lies beside the record. */
  look(key: Key): KnownValue | Promise<KnownValue>;
  /**
   * A range in order, in pieces of bounded size.
   * @param options.atOnce keys that are wanted at once, at most: a short list need not read further
   */
  scan(range: KeyRange, options?: { atOnce?: number }): AsyncIterable<readonly RawEntry[]>;
  /** The same, with keys as they are shown: that costs less, where their bytes are not needed. */
  list(range: KeyRange, options?: { atOnce?: number }): AsyncIterable<readonly ShownEntry[]>;
  /**
   * All that is known of all keys, in order, in pieces. `isConsistent`: the records are of one moment, that of the first
   * `next`; debts may be of a later one.
   */
  dump(): { readonly isConsistent: boolean; readonly keys: AsyncGenerator<readonly Known[]> };
  /**
   * Takes a key, and puts what `begin` makes of what is there.
   * @param begin may be asked again, when something else turns out to be there; what it throws of what is there is thrown,
   * and nothing has changed then
   * @throws MkvError busy if somebody else has the key; too-much-owed
   */
  claim(key: Key, begin: (before: Entry) => Entry, options?: ClaimOptions): Promise<Claim>;
  /** Keys that owe something and are due to be looked at, longest waiting first; in pieces. */
  due(): AsyncIterable<readonly { readonly key: Key; readonly owed: readonly Debt[] }[]>;
  /** Keys that owe something, about. */
  readonly owing: number;
  /** What a key owes, whoever of this process found it out. A debt that `isEnough` may have been paid a moment ago. */
  owedBy(key: Key, isEnough?: (debt: Debt) => boolean): Promise<readonly Debt[]>;
};

/**
 * Whether a ledger is known to lack what was acknowledged, as it was when it was opened; unless it is `current`, an absent key
 * proves nothing. `incomplete`: it was made while volumes could not be looked at, and may lack keys. `older`: a copy was put
 * back, or a power cut has set it back: what it says of a key may be true of an earlier value.
 */
export type Age = "current" | "incomplete" | "older";

/**
 * Called where there is no ledger, before one is made; what it throws is thrown, and nothing is made. It says whether it is
 * sure that there are no values.
 * @param hadOne whether there was one before
 */
export type OnMissing = (hadOne: boolean) => Promise<{ readonly isSure: boolean }>;

/** What whoever opens a ledger is told of the volumes, after it has the lock. */
export type Surroundings = {
  readonly onMissing: OnMissing;
  /** How far the volumes say that their store has come: those that answer soon. Undefined if none does, or is asked. */
  readonly seenEpochs: () => Promise<readonly Epoch[] | undefined>;
};

/**
 * Has the volumes note how far the ledger has come.
 * @param seen what those volumes say now that answer, of which there are some
 * @param note has them note this; without it the two are only compared
 * @returns why it lacks what was acknowledged, as it turns out, and what to do; undefined if not. That is remembered then,
 *   and the process must end
 */
export type NoteEpoch = (seen: readonly Epoch[], note?: (epoch: Epoch) => Promise<void>) => Promise<string | undefined>;

/** A ledger that was opened for the first thread of a process, and what the other threads open the same with. */
export type Opened<Shared> = {
  readonly ledger: Ledger;
  readonly shared: Shared;
  /** Whether the process before this one, if it alone had the ledger, has not ended by itself. */
  readonly hasCrashed: boolean;
  /** Volumes on which that process has left something. */
  readonly leftOn: readonly string[];
  /** Has it that this process does not end well either, since other threads may still be writing. */
  abandon(): void;
  readonly noteEpoch: NoteEpoch;
  /** Waits until nobody else gives ids to volumes, or has them note something, where there may be another process. */
  takeTurn?(what: "ids" | "notes"): Promise<AsyncDisposable>;
};
