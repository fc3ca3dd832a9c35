// Owns what is unfinished: beside the index, never in it, since the Go program must still open that one.
//   journal := (line "\n")*                  a torn last line was never relied on
//   line    := {"key": hex, "n": number, "record": text | null, "owed": {kind: [volume, ...], ...}}
//            | hex                           as JSON: nothing is owed for this key any more, and the index holds what the line says
//            | "floor " number               as JSON: lines up to this one may have been dropped
// `record` is what the index held, or was about to hold, when the line was written; `n` orders the lines of one key over the
// journals of all threads. Version 0.1.0 wrote {"key", "volumes", "marks"} instead, which is still read.
// 1. A debt is written before the first volume is touched, and that a write is committed before it is acknowledged. That a
//    debt is paid rides with the next line, or follows soon.
// 2. Each thread appends to a file of its own; the first thread takes over what all earlier ones owe.
// 3. The file is rewritten with what is owed whenever it is long and mostly done with.
import { closeSync, fdatasync, fsyncSync, openSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { MkvError, reasonOf } from "../../errors";
import { type Key } from "../../format/key";
import { GroupCommit } from "../../group-commit";
import { limits } from "../../limits";
import { isOutOfFiles } from "../../open-files";
import { type BareDebt, type Debt, debtKinds } from "../ledger";
import { keysOwed } from "../measures";
import { sync, writeAll } from "./durable";
import { type LineNumbers } from "./reached";

export type Line = {
  readonly key: Key;
  readonly n: number;
  /** The record as the index holds it; undefined for none. */
  readonly record: string | undefined;
  readonly owed: readonly BareDebt[];
};

/** A key that owes something. */
export type Owing = Line & {
  readonly owed: readonly Debt[];
  /** When it is to be looked at, by `nowMs`. */
  readonly dueMs: number;
};

type JournalOptions = {
  readonly thread: number;
  /** What earlier journals owe, for the thread that opens first: their files go. */
  readonly inherited?: readonly Owing[];
  /** Up to this number of lines nothing of earlier journals is kept but what they owe. */
  readonly floor?: number;
  readonly sync: boolean;
  readonly numbers: LineNumbers;
  readonly onBroken?: (error: MkvError) => void;
};

/** The journal of one thread, whose file stays when it is closed: see `removeDone`. */
export class Journal {
  readonly #path: string;
  readonly #sync: boolean;
  readonly #numbers: LineNumbers;
  readonly #onBroken: ((error: MkvError) => void) | undefined;
  readonly #owing = new Map<string, Owing>();
  readonly #writes = new GroupCommit(() => this.#write(), setImmediate); // All of one turn of the loop goes with one write.
  #text = "";
  #mustSync = false;
  /** The highest number of a line. */
  #last: number;
  #tidy: Timer | undefined;
  #file: number;
  #bytes = 0;
  #compactAtBytes = 0;

  /**
   * @param index the folder of the index; the journal is `index.journal-THREAD`
   * @param options.onBroken is told of a write that failed: the process must end, as after one of the index
   * @throws MkvError failed if it cannot be written there
   */
  constructor(index: string, { thread, inherited, floor = 0, sync, numbers, onBroken }: JournalOptions) {
    this.#onBroken = onBroken;
    this.#path = `${index}.journal-${thread}`;
    this.#sync = sync;
    this.#numbers = numbers;
    this.#last = floor;
    try {
      for (const owing of inherited ?? []) this.#owing.set(owing.key.toHex(), owing);
      this.#count(0);
      this.#file = this.#rewrite();
      if (inherited) for (const path of journalsOf(index)) if (path !== this.#path) rmSync(path);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** All keys that owe something, those that have done so longest first. */
  get owing(): IterableIterator<Owing> {
    return this.#owing.values();
  }

  /** What a key owes; `hex` is the key in hex. */
  of(hex: string): Owing | undefined {
    return this.#owing.get(hex);
  }

  /** Writes down what a key owes; with `sync` it is on the disk when this resolves. */
  owe(hex: string, owing: Owing): Promise<void> {
    this.#remember(hex, owing);
    this.#mustSync = this.#sync;
    return this.#writes.next();
  }

  /** Writes down what the index is about to say of a key that owes nothing; with `sync` as in `owe`. */
  announce(hex: string, owing: Owing): Promise<void> {
    this.#last = owing.n;
    this.#text += textOf(hex, owing);
    this.#mustSync = this.#sync;
    return this.#writes.next();
  }

  /** Writes down what the index says now: a crash of the process does not undo it. */
  tell(hex: string, owing: Owing): Promise<void> {
    this.#remember(hex, owing);
    return this.#writes.next();
  }

  /** The same for what owes no more than before: it need not be waited for. */
  note(hex: string, owing: Owing): void {
    this.#remember(hex, owing);
    this.#tidy ??= setTimeout(() => void this.#writes.next().catch(() => {}), limits.tidyMs); // `onBroken` is told.
  }

  /** Sets when a key that owes something is to be looked at. */
  schedule(hex: string, dueMs: number): void {
    const owing = this.#owing.get(hex);
    if (owing) this.#owing.set(hex, { ...owing, dueMs });
  }

  /** From now on nothing can be written. What is owed is on the disk: that it was closed soon is, too. */
  async close(): Promise<void> {
    await this.#writes.next();
    clearTimeout(this.#tidy);
    if (this.#owing.size > 0) for (const path of [this.#path, dirname(this.#path)]) sync(path);
    closeSync(this.#file);
    this.#file = -1; // The number may soon be another file's.
  }

  #remember(hex: string, owing: Owing): void {
    const before = this.#owing.size;
    this.#last = owing.n;
    this.#text += textOf(hex, owing);
    if (owing.owed.length > 0) this.#owing.set(hex, owing);
    else {
      this.#owing.delete(hex);
      this.#text += `"${hex}"\n`;
    }
    this.#count(before);
  }

  #count(before: number): void {
    this.#numbers.addOwing(this.#owing.size - before);
    keysOwed.set(this.#owing.size);
  }

  async #write(): Promise<void> {
    clearTimeout(this.#tidy);
    this.#tidy = undefined;
    if (this.#file < 0) throw new MkvError("failed", "the journal is closed");
    const [text, last] = [this.#text, this.#last];
    this.#text = "";
    try {
      this.#bytes += writeAll(this.#file, text);
      const mustSync = this.#mustSync;
      this.#mustSync = false;
      if (mustSync) await promisify(fdatasync)(this.#file);
      if (mustSync || !this.#sync) this.#numbers.reach(last);
      if (this.#bytes >= this.#compactAtBytes && this.#file >= 0) {
        const before = this.#file;
        this.#file = this.#rewriteOrWait();
        if (this.#file !== before) closeSync(before);
      }
    } catch (error) {
      const failure = this.#failure(error);
      this.#onBroken?.(failure);
      throw failure;
    }
  }

  #failure(error: unknown): MkvError {
    return new MkvError("failed", `the journal ${this.#path} cannot be written: ${reasonOf(error)}`, { cause: error });
  }

  /** The journal as it is does as well, while no other file can be opened. */
  #rewriteOrWait(): number {
    try {
      return this.#rewrite();
    } catch (error) {
      if (!isOutOfFiles(error)) throw error;
      this.#compactAtBytes = this.#bytes + limits.journalBytes;
      return this.#file;
    }
  }

  #rewrite(): number {
    const next = `${this.#path}.new`;
    const { file, folder } = openBoth(next, this.#sync ? dirname(next) : undefined);
    let text = this.#last > 0 ? `"${floorPrefix}${this.#last}"\n` : "";
    for (const [hex, owing] of this.#owing) text += textOf(hex, owing);
    this.#bytes = writeAll(file, text);
    this.#compactAtBytes = Math.max(limits.journalBytes, 2 * this.#bytes);
    fsyncSync(file);
    renameSync(next, this.#path);
    if (folder !== undefined) {
      fsyncSync(folder);
      closeSync(folder);
    }
    return file;
  }
}

/** What the line begins with that says which lines may have been dropped. */
export const floorPrefix = "floor ";

export function journalsOf(index: string): string[] {
  const prefix = `${basename(index)}.journal-`;
  const names = readdirSync(dirname(index)).filter(
    (name) => name.startsWith(prefix) && /^(?:\d+|import)$/.test(name.slice(prefix.length)),
  );
  return names.map((name) => join(dirname(index), name));
}

/** A line as it is written; `hex` is the key in hex. */
export function textOf(hex: string, { n, record, owed }: Line): string {
  let debts = "";
  for (const kind of debtKinds) {
    let volumes = "";
    for (const debt of owed) if (debt.kind === kind) volumes += `${volumes && ","}${JSON.stringify(debt.volume)}`;
    if (volumes !== "") debts += `${debts && ","}"${kind}":[${volumes}]`;
  }
  return `{"key":"${hex}","n":${n},"record":${record === undefined ? "null" : JSON.stringify(record)},"owed":{${debts}}}\n`;
}

/** A file to write, and the folder to sync if there is one; both or none. */
function openBoth(path: string, folder: string | undefined): { file: number; folder: number | undefined } {
  const file = openSync(path, "w", 0o600);
  try {
    return { file, folder: folder === undefined ? undefined : openSync(folder, "r") };
  } catch (error) {
    closeSync(file);
    throw error;
  }
}
