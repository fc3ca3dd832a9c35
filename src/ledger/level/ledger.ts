// Owns the ledger over LevelDB, as one thread of the process sees it: the index and the locks are shared by all threads,
// the journal is the thread's own.
// 1. A claim is the lock of its key. It is written down with the first line of the journal, not by itself.
// 2. Whatever is put: first the journal names all debts of before and after, then the index changes, then the journal drops
//    those of before. So after a crash record and debts together account for every file.
// 3. The index is written once a commit. A key without a record whose write is under way is in the journal alone.
// 4. A record that changes where nothing is owed is announced by a line as well. So after a crash of the process the index
//    holds the record of a key's last line, unless that is open: an index that does not is an older copy (`replay.ts`).
// 5. What lies beside the record (`facts.ts`) is written before it, and what goes with an old record goes after that.
import { MkvError } from "../../errors";
import { type Key } from "../../format/key";
import { decodeRecord, encodeRecord } from "../../format/record";
import { limits } from "../../limits";
import { nowMs } from "../../clock";
import { GroupCommit } from "../../group-commit";
import { entryOf, knownOf, writeFacts } from "../facts";
import { type Age, type Claim, type Debt, type Entry, type Ledger, type Memory, owedByBoth } from "../ledger";
import { putSeconds, timed } from "../measures";
import { type Journal, type Owing } from "./journal";
import { type Journals, readJournals } from "./replay";
import { type LevelIndex } from "./leveldb";
import { KeyLocks } from "./locks";
import { knownKeys } from "./dump";
import { type LineNumbers } from "./reached";

/** What the threads of a process share: the first one opens, the others join. */
export type LevelShared = {
  readonly age: Age;
  readonly locks: SharedArrayBuffer;
  readonly numbers: SharedArrayBuffer;
  /** By the key in hex: volumes that may still carry out a request of a process before this one, until `barredUntilMs`. */
  readonly barred: ReadonlyMap<string, readonly string[]>;
  readonly barredUntilMs: number;
};

type LevelParts = {
  readonly path: string;
  readonly index: LevelIndex;
  readonly facts: LevelIndex;
  readonly journal: Journal;
  readonly memory: Memory;
  readonly numbers: LineNumbers;
  readonly shared: LevelShared;
  onClosed(): Promise<void>;
};

const nothing: readonly never[] = [];

export function levelLedger(parts: LevelParts): Ledger {
  const { path, index, facts, journal, memory, shared } = parts;
  const locks = new KeyLocks(shared.locks);
  /** What the journals of all threads said at `readMs`. */
  let lines: Journals["lines"] = new Map();
  let [readMs, tookMs] = [Number.NEGATIVE_INFINITY, 0];
  const readAgain = new GroupCommit(
    async () => {
      readMs = nowMs();
      lines = readJournals(path).lines;
      tookMs = nowMs() - readMs;
    },
    () => Bun.sleep(Math.min(9 * tookMs, limits.freshMs)), // It blocks the thread: for a tenth of its time, as long as it is short.
  );
  return {
    memory,
    age: shared.age,
    get owing() {
      return parts.numbers.owing;
    },
    get: (key) => index.get(key),
    look: (key) => knownOf(key, index.get(key), facts.getText(key)),
    scan: (range, options) => index.scan(range, options),
    list: (range, options) => index.list(range, options),
    dump: () => ({ isConsistent: true, keys: knownKeys(parts) }),
    async claim(key, begin) {
      const lock = locks.take(key);
      try {
        const claim = new LevelClaim(parts, key, lock);
        const entry = begin(claim.entry);
        if (entry !== claim.entry) await claim.put(entry);
        return claim;
      } catch (error) {
        lock[Symbol.dispose]();
        throw error;
      }
    },
    async *due() {
      const now = nowMs();
      yield [...journal.owing].filter(({ dueMs }) => dueMs <= now);
    },
    async owedBy(key, isEnough = () => false) {
      const hex = key.toHex();
      const told = () => {
        const others = lines.get(hex)?.owed ?? nothing;
        const undated = others.map((debt) => ({ ...debt, sinceMs: 0, untilMs: 0 }));
        return owedByBoth(journal.of(hex)?.owed ?? nothing, undated);
      };
      if (nowMs() > readMs + limits.freshMs || !told().some(isEnough)) await readAgain.next();
      return told();
    },
    async [Symbol.asyncDispose]() {
      await journal.close();
      await facts[Symbol.asyncDispose]();
      await index[Symbol.asyncDispose]();
      await parts.onClosed();
    },
  };
}

class LevelClaim implements Claim {
  readonly untilMs = Number.POSITIVE_INFINITY;
  readonly #hex: string;
  #entry: Entry;
  /** The record of the entry, and what lies beside it, as they are written down. */
  #text: string | undefined;
  #facts: string | undefined;
  #isEnded = false;

  constructor(
    readonly parts: LevelParts,
    readonly key: Key,
    readonly lock: Disposable,
  ) {
    this.#hex = key.toHex();
    this.#text = parts.index.getText(key);
    const record = this.#text === undefined ? undefined : decodeRecord(this.#text);
    this.#facts = parts.facts.getText(key);
    const owed = parts.journal.of(this.#hex)?.owed ?? nothing;
    this.#entry = entryOf(key, record, { facts: this.#facts, owed });
  }

  get entry(): Entry {
    return this.#entry;
  }

  get barred(): readonly string[] {
    const { barred, barredUntilMs } = this.parts.shared;
    return barred.size > 0 && nowMs() < barredUntilMs ? (barred.get(this.#hex) ?? nothing) : nothing;
  }

  put(entry: Entry, { sync = false } = {}): Promise<void> {
    return timed(putSeconds, this.#put(entry, { sync, dueMs: Number.POSITIVE_INFINITY }));
  }

  async end(entry: Entry, { againMs = 0 } = {}): Promise<void> {
    await timed(putSeconds, this.#put(entry, { sync: false, dueMs: nowMs() + againMs }));
    this.#isEnded = true;
    this.lock[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.parts.journal.schedule(this.#hex, nowMs());
    this.lock[Symbol.dispose]();
  }

  async #put(entry: Entry, { sync, dueMs }: { sync: boolean; dueMs: number }): Promise<void> {
    const { index, journal, numbers } = this.parts;
    const before = this.#entry;
    const record = entry.record === before.record ? this.#text : entry.record && encodeRecord(entry.record);
    const isNewRecord = record !== this.#text;
    let written: readonly Debt[] | undefined;
    if (entry.owed.some((debt) => !before.owed.includes(debt))) {
      if (before.owed.length === 0 && numbers.owing >= limits.debts) {
        const text = `${limits.debts} unfinished writes wait for volumes that are down: bring those back first`;
        throw new MkvError("too-much-owed", text);
      }
      written = isNewRecord ? owedByBoth(entry.owed, before.owed) : entry.owed;
      await journal.owe(this.#hex, this.#line(record, written, dueMs)); // 2: the debts of before and after.
    } else if (isNewRecord && before.owed.length === 0)
      await journal.announce(this.#hex, this.#line(record, entry.owed, dueMs)); // 4.
    const isEarly = entry.forward !== undefined || (entry.attributes !== undefined && !before.forward); // 5.
    if (isEarly) await this.#putFacts(entry, { sync });
    if (isNewRecord) await index.put(this.key, record, { sync }); // 3.
    if (!isEarly) await this.#putFacts(entry, { sync });
    this.#entry = entryOf(this.key, entry.record, { facts: this.#facts, owed: entry.owed });
    this.#text = record;
    if (written === entry.owed) return;
    // Where the record is the same, all that is owed now was owed before.
    if (!isNewRecord && entry.owed.length === before.owed.length) return journal.schedule(this.#hex, dueMs);
    const line = this.#line(record, entry.owed, dueMs);
    if (isNewRecord && before.owed.length > 0)
      await journal.tell(this.#hex, line); // 2: those of before go.
    else journal.note(this.#hex, line);
  }

  async #putFacts(entry: Entry, options: { sync: boolean }): Promise<void> {
    const text = writeFacts(this.#facts, entry);
    if (text === this.#facts) return;
    await this.parts.facts.put(this.key, text, options);
    this.#facts = text;
  }

  #line(record: string | undefined, owed: readonly Debt[], dueMs: number): Owing {
    return { key: this.key, n: this.parts.numbers.next(), record, owed, dueMs };
  }
}
