// Owns what is unfinished: beside the index, never in it, since the Go program must still open that one. A debt says
// that these volumes may hold a file of this key which the index does not account for.
//   journal := (JSON of a debt "\n" | JSON of a settled key's hex "\n")*      a torn last line was never acknowledged
// 1. A debt is written before the first volume is touched and settled after the last.
// 2. Each thread appends to a file of its own; opening gathers the debts of all earlier ones into it.
// 3. The file is rewritten with the outstanding debts whenever it is long and mostly settled.
import {
  closeSync,
  fdatasync,
  fsyncSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { promisify } from "node:util";
import { MkvError, reasonOf } from "../../errors";
import { type Key } from "../../format/key";
import { limits } from "../../limits";
import { log } from "../../log";
import { GroupCommit } from "../../group-commit";

/** A key whose files and record may disagree. */
export type Debt = {
  readonly key: Key;
  /** The volumes that may hold a file which the record does not name. */
  readonly volumes: readonly string[];
  /** Records that only stand for unfinished work: if the index still holds one, the key is to be forgotten. */
  readonly marks: readonly string[];
};

type JournalOptions = {
  readonly thread: number;
  readonly inherit: boolean;
  readonly sync: boolean;
  readonly onBroken?: (error: MkvError) => void;
};

/** The debts of one thread. */
export class Journal {
  readonly #index: string;
  readonly #path: string;
  readonly #sync: boolean;
  readonly #onBroken: ((error: MkvError) => void) | undefined;
  readonly #debts = new Map<string, Debt>();
  readonly #writes = new GroupCommit(() => this.#writeLines(), setImmediate); // All of one turn of the loop goes with one write.
  #lines: string[] = [];
  #file: number;
  #bytes = 0;
  #compactAtBytes = 0;

  /**
   * @param index the folder of the index; the journal is `index.journal-THREAD`
   * @param inherit takes over the debts of all journals of this index: for the one thread that opens first
   * @param options.onBroken is told of a write that failed: the process must end, as after one of the index
   * @throws MkvError failed if it cannot be written there
   */
  constructor(index: string, { thread, inherit, sync, onBroken }: JournalOptions) {
    this.#onBroken = onBroken;
    this.#index = index;
    this.#path = `${index}.journal-${thread}`;
    this.#sync = sync;
    try {
      const earlier = inherit ? filesOf(index) : [];
      for (const debt of earlier.flatMap(readDebts))
        this.#debts.set(hex(debt.key), merged(debt, this.debtOf(debt.key)));
      this.#file = this.#rewrite();
      for (const path of earlier) if (path !== this.#path) rmSync(path);
    } catch (error) {
      throw new MkvError("failed", `the journal ${this.#path} cannot be written: ${reasonOf(error)}`, { cause: error });
    }
  }

  /** The debts that are outstanding, oldest first. */
  get debts(): readonly Debt[] {
    return [...this.#debts.values()];
  }

  /** How many keys have a debt. */
  get size(): number {
    return this.#debts.size;
  }

  /** The debt of this key, if it has one. */
  debtOf(key: Key): Debt | undefined {
    return this.#debts.get(hex(key));
  }

  /** Whether this record of a key, which must be locked, only stands for unfinished work, of whichever thread. */
  isMark(key: Key, record: string): boolean {
    const isMarked = (debt: Debt | undefined) => debt?.marks.includes(record) === true;
    if (isMarked(this.debtOf(key))) return true;
    const others = filesOf(this.#index).filter((path) => path !== this.#path);
    return others.flatMap(readDebts).some((debt) => hex(debt.key) === hex(key) && isMarked(debt));
  }

  /** Remembers a debt, in place of an earlier one of the same key; with `sync` it is on the disk when this resolves. */
  owe(debt: Debt): Promise<void> {
    this.#debts.set(hex(debt.key), debt);
    this.#lines.push(lineOf(debt));
    return this.#writes.next();
  }

  /** Forgets the debt of this key; with `sync` for good when this resolves, so that it can never be taken for a new one. */
  async settle(key: Key): Promise<void> {
    if (!this.#debts.delete(hex(key))) return;
    this.#lines.push(`${JSON.stringify(hex(key))}\n`);
    await this.#writes.next();
  }

  /** From now on nothing can be owed or settled. */
  close(): void {
    closeSync(this.#file);
    this.#file = -1; // The number may soon be another file's.
    if (this.#debts.size === 0) rmSync(this.#path, { force: true });
  }

  async #writeLines(): Promise<void> {
    if (this.#file < 0) throw new MkvError("failed", "the journal is closed");
    try {
      this.#bytes += writeAll(this.#file, this.#lines.splice(0));
      if (this.#sync) await promisify(fdatasync)(this.#file);
      if (this.#bytes >= this.#compactAtBytes && this.#file >= 0) {
        const before = this.#file;
        this.#file = this.#rewrite();
        closeSync(before);
      }
    } catch (error) {
      const text = `the journal ${this.#path} cannot be written: ${reasonOf(error)}`;
      const failure = new MkvError("failed", text, { cause: error });
      this.#onBroken?.(failure);
      throw failure;
    }
  }

  #rewrite(): number {
    const next = `${this.#path}.new`;
    const file = openSync(next, "w", 0o600);
    this.#bytes = writeAll(file, [...this.#debts.values()].map(lineOf));
    this.#compactAtBytes = Math.max(limits.journalBytes, 2 * this.#bytes);
    fsyncSync(file);
    renameSync(next, this.#path);
    if (this.#sync) syncFolder(dirname(this.#path));
    return file;
  }
}

/** The debts of the journals beside an index, without opening it for writing: for jobs that must respect them. */
export function debtsBeside(index: string): Debt[] {
  return filesOf(index).flatMap(readDebts);
}

/** A debt together with an earlier one of the same key. */
export function merged(debt: Debt, earlier: Debt | undefined): Debt {
  if (!earlier) return debt;
  const both = (a: readonly string[], b: readonly string[]) => [...new Set([...a, ...b])];
  return { key: debt.key, volumes: both(debt.volumes, earlier.volumes), marks: both(debt.marks, earlier.marks) };
}

function lineOf(debt: Debt): string {
  return `${JSON.stringify({ ...debt, key: hex(debt.key) })}\n`;
}

/** Writes all of these lines, and returns their length in bytes. */
function writeAll(file: number, lines: readonly string[]): number {
  const bytes = Buffer.from(lines.join(""));
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
  return bytes.length;
}

function syncFolder(path: string): void {
  const folder = openSync(path, "r");
  fsyncSync(folder);
  closeSync(folder);
}

function filesOf(index: string): string[] {
  const prefix = `${basename(index)}.journal-`;
  const names = readdirSync(dirname(index)).filter((name) => name.startsWith(prefix) && !name.endsWith(".new"));
  return names.map((name) => join(dirname(index), name));
}

function readDebts(path: string): Debt[] {
  const debts = new Map<string, Debt>();
  const lines = readFileSync(path, "utf8").split("\n");
  lines.pop(); // Empty, or torn by a crash before anything relied on it.
  for (const line of lines) {
    const entry = parseLine(path, line);
    if (typeof entry === "string") debts.delete(entry);
    else debts.set(entry.key, { ...entry, key: new Uint8Array(Buffer.from(entry.key, "hex")) as Key });
  }
  return [...debts.values()];
}

type Line = string | (Omit<Debt, "key"> & { key: string });

/** A line of a journal; nothing, with a word about it, if it was torn. */
function parseLine(path: string, line: string): Line {
  try {
    return JSON.parse(line) as Line;
  } catch {
    log(`mkv: ${path} holds a torn line, which is left out: ${line.slice(0, 80)}`);
    return "";
  }
}

function hex(key: Key): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("hex");
}
