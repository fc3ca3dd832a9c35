// Owns the embedded index: a LevelDB folder in the format of the Go program. The only importer of classic-level.
// 1. A write is in the operating system's hands when its promise resolves, and on the disk if opened with `sync`: a
//    kill -9 of the process loses nothing, a power cut only what was not synced.
// 2. After a write has failed (a full disk, for one) the process must end: LevelDB goes on after a torn entry of its log as
//    if nothing were, and would lose what is acknowledged from then on. Starting again reads the log up to the tear.
// 3. What several requests write meanwhile goes with one write, all or none of it.
// 4. Closing flushes the memtable first: the Go program's LevelDB loses the older of two log files.
import { existsSync, renameSync, rmSync } from "node:fs";
import { ClassicLevel } from "classic-level";
import { MkvError, reasonOf } from "../../errors";
import { type Key } from "../../format/key";
import { type ValueRecord, decodeRecord, encodeRecord } from "../../format/record";
import { limits } from "../../limits";
import { log } from "../../log";
import { GroupCommit } from "../../group-commit";
import { type Index, type IndexEntry, type KeyRange, type RawEntry } from "../index";

type Level = ClassicLevel<Uint8Array, string>;

/**
 * Opens the LevelDB in this folder, which is made if it is missing. Several threads of one process may open the same.
 * @param options.sync every write waits for the disk
 * @param options.onBroken is told of the first write that failed
 * @param options.mustExist an index that is not there is an error, not a new one
 * @throws MkvError failed: in use by another process, damaged, not to be had
 */
export async function openLevelIndex(
  folder: string,
  options: { sync?: boolean; mustExist?: boolean; onBroken?: (error: MkvError) => void } = {},
): Promise<Index> {
  finishSwap(folder);
  if (options.mustExist && !existsSync(folder)) throw new MkvError("failed", `there is no index at ${folder}`);
  const db: Level = new ClassicLevel(folder, {
    keyEncoding: "view",
    valueEncoding: "utf8",
    multithreading: true,
    cacheSize: limits.indexCacheBytes,
    writeBufferSize: limits.indexBufferBytes,
    maxFileSize: limits.indexFileBytes,
    maxOpenFiles: limits.indexFiles,
  });
  try {
    await db.open();
  } catch (error) {
    throw openFailure(folder, error);
  }
  return new LevelIndex(db, options);
}

/** Opens an index if there is one that can be opened; throws MkvError failed only if another process uses it. */
export async function mayOpenLevelIndex(folder: string): Promise<Index | undefined> {
  finishSwap(folder);
  if (!existsSync(folder)) return undefined;
  try {
    return await openLevelIndex(folder);
  } catch (error) {
    if (isLocked((error as Error).cause)) throw error;
    log(`mkv: ${reasonOf(error)}; what it knew of hashes and of unlinked keys is not used`);
    return undefined; // Damaged beyond opening: the reason to rebuild.
  }
}

/** Removes an index and all that it holds. Throws MkvError failed if another process uses it. */
export async function removeLevelIndex(folder: string): Promise<void> {
  const unused = await mayOpenLevelIndex(folder);
  await unused?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
}

/**
 * Puts a finished index in the place of another. A crash in between leaves the old one as `folder.old`, from where
 * opening brings it back.
 */
export function swapIndex(finished: string, folder: string): void {
  const old = oldOf(folder);
  rmSync(old, { recursive: true, force: true });
  if (existsSync(folder)) renameSync(folder, old);
  renameSync(finished, folder);
  rmSync(old, { recursive: true, force: true });
}

function finishSwap(folder: string): void {
  if (!existsSync(folder) && existsSync(oldOf(folder))) renameSync(oldOf(folder), folder);
}

function oldOf(folder: string): string {
  return `${folder}.old`;
}

type Operation = { type: "put"; key: Key; value: string } | { type: "del"; key: Key };

class LevelIndex implements Index {
  readonly #db: Level;
  readonly #write: { sync: boolean };
  readonly #onBroken: ((error: MkvError) => void) | undefined;
  #operations: Operation[] = [];
  readonly #commits = new GroupCommit(() => this.#commit());

  constructor(db: Level, { sync = false, onBroken }: { sync?: boolean; onBroken?: (error: MkvError) => void }) {
    this.#db = db;
    this.#write = { sync };
    this.#onBroken = onBroken;
  }

  get(key: Key): ValueRecord | undefined {
    try {
      const text = this.#db.getSync(key);
      return text === undefined ? undefined : decodeRecord(text);
    } catch (error) {
      throw failure(error);
    }
  }

  put(key: Key, record: ValueRecord): Promise<void> {
    return this.putAll([{ key, record }]);
  }

  delete(key: Key): Promise<void> {
    this.#operations.push({ type: "del", key });
    return this.#commits.next();
  }

  putAll(entries: readonly IndexEntry[]): Promise<void> {
    for (const { key, record } of entries) this.#operations.push({ type: "put", key, value: encodeRecord(record) });
    return this.#commits.next();
  }

  async #commit(): Promise<void> {
    try {
      await this.#db.batch(this.#operations.splice(0), this.#write);
    } catch (error) {
      const reason = failure(error);
      this.#onBroken?.(reason);
      throw reason;
    }
  }

  async *scan(
    { start, end }: KeyRange,
    { atOnce = limits.scanKeys }: { atOnce?: number } = {},
  ): AsyncGenerator<readonly RawEntry[]> {
    const range = { ...(start && { gte: start }), ...(end && { lt: end }) };
    const iterator = this.#db.iterator({ ...range, fillCache: false, highWaterMarkBytes: limits.scanBytes });
    const read = (keys: number) => iterator.nextv(Math.min(keys, limits.scanKeys)) as Promise<[Key, string][]>;
    try {
      let wanted = atOnce;
      let page = await read(wanted);
      while (page.length > 0) {
        wanted *= 4; // It seems that most are not what is looked for.
        const next = atOnce > page.length ? read(wanted) : undefined; // While the caller is at work on this one.
        next?.catch(() => {});
        yield page;
        page = await (next ?? read(wanted));
      }
    } catch (error) {
      throw failure(error);
    } finally {
      await iterator.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const nowhere = new Uint8Array();
    try {
      await this.#db.compactRange(nowhere, nowhere); // Over an empty range it only flushes the memtable.
    } finally {
      await this.#db.close();
    }
  }
}

function openFailure(folder: string, error: unknown): MkvError {
  const cause = (error as Error).cause;
  if (isLocked(error)) {
    return new MkvError("failed", `the index ${folder} is in use by another process: stop that one first`, {
      cause: error,
    });
  }
  return new MkvError("failed", `the index ${folder} cannot be opened: ${reasonOf(cause ?? error)}`, { cause: error });
}

function isLocked(error: unknown): boolean {
  return ((error as Error).cause as { code?: string } | undefined)?.code === "LEVEL_LOCKED";
}

function failure(error: unknown): MkvError {
  if (error instanceof MkvError) return error;
  return new MkvError("failed", `the index cannot be read or written: ${reasonOf(error)}`, { cause: error });
}
