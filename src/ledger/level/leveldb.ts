// Owns the index: a LevelDB folder in the format of the Go program; and what lies beside its records (`ledger/facts.ts`) in a
// LevelDB of its own, as `.indexdb.facts`: the Go program, which must still open the index, knows nothing of it.
// 1. A write is in the operating system's hands when its promise resolves, and on the disk if opened with `sync`: a
//    kill -9 of the process loses nothing, a power cut only what was not synced.
// 2. After a write has failed (a full disk, for one) no other is tried, and the process must end: LevelDB goes on after a torn
//    entry of its log as if nothing were, and would lose what is acknowledged from then on. Starting again reads the log up to
//    the tear.
// 3. What several requests write meanwhile goes with one write, all or none of it.
// 4. Closing flushes the memtable first: the Go program's LevelDB loses the older of two log files.
import { basename, dirname, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { ClassicLevel } from "classic-level";
import { MkvError, reasonOf } from "../../errors";
import { type Key, isShown, keyAfter } from "../../format/key";
import { type ValueRecord, decodeRecord, encodeRecord } from "../../format/record";
import { limits } from "../../limits";
import { isOutOfFiles } from "../../open-files";
import { GroupCommit } from "../../group-commit";
import { type KeyRange, type KeyRecord, type ShownEntry } from "../ledger";
import { getSeconds } from "../measures";
import { shown } from "../shown";
import { inspectIndex } from "./inspect";

export type Level = ClassicLevel<Uint8Array, string>;
export const encodings = { keyEncoding: "view", valueEncoding: "utf8", multithreading: true } as const;

/** Keys as text; the ends of a range stay bytes. */
const asText = { name: "text", format: "utf8", encode: (key: Uint8Array) => key, decode: (key: string) => key };

/** One of so many reads is timed: to look at the clock twice takes a quarter as long as a read. */
const readsATimed = 16;

/**
 * Opens the LevelDB in this folder; several threads of one process may open the same. Whoever opens holds the lock beside
 * it (`memory.ts`) and has looked at the folder (`inspect.ts`).
 * @param options.make whether one is made if there is none
 * @param options.sync every write waits for the disk
 * @param options.onBroken is told of the first write that failed
 * @throws MkvError failed: in use by another process, damaged, not to be had
 */
export async function openLevelIndex(
  folder: string,
  options: IndexOptions & { make?: boolean } = {},
): Promise<LevelIndex> {
  const db: Level = new ClassicLevel(folder, {
    createIfMissing: options.make === true,
    ...encodings,
    cacheSize: limits.indexCacheBytes,
    writeBufferSize: limits.indexBufferBytes,
    maxFileSize: limits.indexFileBytes,
    maxOpenFiles: limits.indexFiles,
  });
  try {
    await db.open();
  } catch (error) {
    if (isLocked(error)) throw inUse(folder, error);
    const why = reasonOf((error as Error).cause ?? error);
    throw new MkvError("failed", `${options.name ?? "the index"} ${folder} cannot be opened: ${why}`, { cause: error });
  }
  return new LevelIndex(db, options);
}

/** The folder of what lies beside the records of this index; its name begins with a dot, as that of `memory.ts`. */
export function factsOf(index: string): string {
  return join(dirname(index), `.${basename(index)}.facts`);
}

/** Opens what lies beside the records of this index. Throws as `openLevelIndex`. */
export function openFacts(index: string, options: IndexOptions & { make?: boolean } = {}): Promise<LevelIndex> {
  return openLevelIndex(factsOf(index), { ...options, name: factsOf(index) });
}

/** Throws MkvError failed if it is damaged: opening it would make an empty one of it. */
export function requireWholeFacts(index: string): void {
  const found = inspectIndex(factsOf(index));
  if (!("why" in found)) return;
  const text = `${factsOf(index)} is damaged (${found.why}): nothing was changed. It holds types and metadata of objects`;
  throw new MkvError("failed", `${text}: restore it, or move it away to go on without them`);
}

type Operation = { type: "put"; key: Key; value: string } | { type: "del"; key: Key };

type IndexOptions = {
  /** What failures call it, if it is not the index. */
  readonly name?: string;
  readonly sync?: boolean;
  readonly onBroken?: ((error: MkvError) => void) | undefined;
};

/** An open index. Everything throws MkvError failed if it cannot be read or written, corrupt for a damaged record. */
export class LevelIndex implements AsyncDisposable {
  #operations: Operation[] = [];
  #mustSync = false;
  #broken: MkvError | undefined;
  #reads = 0;
  readonly #commits = new GroupCommit(() => this.#commit(), setImmediate); // All of one turn of the loop goes with one write.

  constructor(
    readonly db: Level,
    readonly options: IndexOptions,
  ) {}

  get(key: Key): ValueRecord | undefined {
    const text = this.getText(key);
    return text === undefined ? undefined : decodeRecord(text);
  }

  /** The record as it is written down. */
  getText(key: Key): string | undefined {
    if (++this.#reads % readsATimed !== 0) return this.#read(key);
    const startMs = performance.now();
    const text = this.#read(key);
    getSeconds.observe((performance.now() - startMs) / 1000, readsATimed);
    return text;
  }

  /** The same; undefined if it cannot be read. */
  textIfReadable(key: Key): { readonly text: string | undefined } | undefined {
    try {
      return { text: this.getText(key) };
    } catch {
      return undefined;
    }
  }

  #read(key: Key): string | undefined {
    try {
      return this.db.getSync(key);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Puts a record, or none. With `sync` it is on the disk when this resolves, and all that was put before. */
  put(key: Key, record: string | undefined, options: { sync?: boolean } = {}): Promise<void> {
    this.#operations.push(record === undefined ? { type: "del", key } : { type: "put", key, value: record });
    if (options.sync) this.#mustSync = true;
    return this.#commits.next();
  }

  /** Puts many records, all or none of them. */
  putAll(entries: readonly KeyRecord[]): Promise<void> {
    for (const { key, record } of entries) this.#operations.push({ type: "put", key, value: encodeRecord(record) });
    return this.#commits.next();
  }

  async #commit(): Promise<void> {
    const operations = this.#operations.splice(0);
    const sync = this.options.sync === true || this.#mustSync;
    this.#mustSync = false;
    if (this.#broken) throw this.#broken;
    try {
      await writeBatch(this.db, operations, { sync });
    } catch (error) {
      this.#broken = this.#failure(error);
      this.options.onBroken?.(this.#broken);
      throw this.#broken;
    }
  }

  #failure(error: unknown): MkvError {
    const code = isOutOfFiles(error) ? "unavailable" : "failed";
    const reason = reasonOf(error);
    const { name } = this.options;
    const mend = name
      ? "stop the master, restore it, or move it away to go on without it"
      : "stop the master and run rebuild";
    const advice = reason.startsWith("Corruption") ? `: ${mend}` : "";
    return new MkvError(code, `${name ?? "the index"} cannot be read or written: ${reason}${advice}`, { cause: error });
  }

  readonly scan = (range: KeyRange, options: { atOnce?: number } = {}) => this.#pages<Key>(range, options);

  /** LevelDB's addon makes a string of a key sooner than bytes; where that loses something, the bytes are read after all. */
  async *list(range: KeyRange, options: { atOnce?: number } = {}): AsyncGenerator<readonly ShownEntry[]> {
    let { start } = range;
    for await (const page of this.#pages<string>(range, { ...options, keyEncoding: asText })) {
      if (page.some(([key]) => !isShown(key))) return yield* shown(this.scan({ ...range, start }, options));
      yield page;
      start = keyAfter(Buffer.from(page.at(-1)![0]));
    }
  }

  async *#pages<K>(
    { start, end }: KeyRange,
    { atOnce = limits.scanKeys, ...encoding }: { atOnce?: number; keyEncoding?: typeof asText },
  ): AsyncGenerator<readonly (readonly [K, string])[]> {
    const range: object = { ...(start && { gte: start }), ...(end && { lt: end }), ...encoding, fillCache: false };
    const iterator = this.db.iterator<K, string>({ ...range, highWaterMarkBytes: limits.scanBytes });
    const read = (keys: number) => iterator.nextv(Math.min(keys, limits.scanKeys)) as Promise<[K, string][]>;
    try {
      let wanted = atOnce;
      let page = await read(wanted);
      while (page.length > 0) {
        wanted *= 4; // The list skips most of these records: read four times as many next.
        const next = atOnce > page.length ? read(wanted) : undefined; // While the caller is at work on this one.
        next?.catch(() => {});
        yield page;
        page = await (next ?? read(wanted));
      }
    } catch (error) {
      throw this.#failure(error);
    } finally {
      await iterator.close();
    }
  }

  /** Closes it when all that was put is written, without a flush. */
  async close(): Promise<void> {
    await this.#commits.next().catch(() => {}); // Whoever asked for a write has been told how it went.
    await this.db.close();
  }

  /** May be disposed of again. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.db.status === "closed") return;
    const nowhere = new Uint8Array();
    try {
      await this.db.compactRange(nowhere, nowhere); // Over an empty range it only flushes the memtable.
    } finally {
      await this.db.close();
    }
  }
}

/** Writes all or nothing. Where no file can be opened, LevelDB fails before it writes anything: it is asked again. */
async function writeBatch(db: Level, operations: Operation[], options: { sync: boolean }): Promise<void> {
  for (const untilMs = performance.now() + limits.indexFilesMs; ;) {
    try {
      return await db.batch(operations, options);
    } catch (error) {
      if (!isOutOfFiles(error) || performance.now() > untilMs) throw error;
      await Bun.sleep(limits.indexPauseMs);
    }
  }
}

/** Whether LevelDB failed to open since another process has it open. */
export function isLocked(error: unknown): boolean {
  return ((error as Error).cause as { code?: string } | undefined)?.code === "LEVEL_LOCKED";
}

/** The failure of who would open an index that another process uses. */
export function inUse(index: string, cause?: unknown): MkvError {
  return new MkvError("failed", `the index ${index} is in use by another process: stop that one first`, { cause });
}
