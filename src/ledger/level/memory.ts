// Owns the small LevelDB that lies beside the index, as `.indexdb.mkv`: the lock of whoever holds the index, and what mkv
// remembers, which must not lie in the index itself, since the Go program must still open that one.
// 1. One process holds it, from before anything is looked at until it ends, and with it the lock that keeps the Go program
//    out (`go-lock.ts`). The system frees both at once when that is killed. The index may be renamed meanwhile: the lock
//    beside it does not go with it.
// 2. The first thread opens it, once, and the others join: they share one LevelDB, and its lock goes with the last of them.
// 3. A damaged one is never opened or removed. Only a person may move it away.
// 4. What is put or deleted is on the disk when the promise resolves, in the order of the calls.
import { accessSync, constants, existsSync, lstatSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ClassicLevel } from "classic-level";
import { MkvError, reasonOf } from "../../errors";
import { type Key } from "../../format/key";
import { parsed } from "../../shape";
import { type Memory } from "../ledger";
import { lockForGo, unlockForGo } from "./go-lock";
import { inspectIndex } from "./inspect";
import { type Level, LevelIndex, encodings, inUse, isLocked } from "./leveldb";
import { finishSwap } from "./swap";

/** What mkv remembers beside an index: values by name, anything that JSON can say. Throws MkvError failed. */
export type LevelMemory = AsyncDisposable & Memory;

type MemoryOptions = { readonly onBroken?: ((error: MkvError) => void) | undefined };

/** LevelDB's smallest: there is little to remember. */
const SMALL = { ...encodings, cacheSize: 64 * 1024, writeBufferSize: 64 * 1024 };

/** The folders that this process holds. */
const held = new Set<string>();

/**
 * The folder of an index that may be named by a symbolic link: all else lies beside the folder itself, whatever leads to it.
 * @throws MkvError failed if that leads to nothing, or an earlier version has made what lies beside it beside the link
 */
export function ownNameOf(index: string): string {
  const folder = isLink(index) ? targetOf(index) : index;
  if (folder === index || !existsSync(memoryOf(index))) return folder;
  const why = `${index} leads to ${folder}, but what belongs to the index lies beside ${index}, as ${memoryOf(index)}`;
  throw new MkvError("failed", `${why}: put the folder itself in the place of that link`);
}

/** If it may not be looked at, the opening says so. */
function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false;
  }
}

function targetOf(link: string): string {
  try {
    return realpathSync(link);
  } catch (error) {
    const text = `${link} leads to nothing (${reasonOf(error)}): is its disk mounted?`;
    throw new MkvError("failed", text, { cause: error });
  }
}

/** The folder that lies beside this index; its name begins with a dot, so that nothing that lists `indexdb*` sees it. */
export function memoryOf(index: string): string {
  return join(dirname(index), `.${basename(index)}.mkv`);
}

/**
 * Takes the lock of this index until it is disposed of, and ends what a crash has left of a swap. Only the main thread may.
 * @param options.onBroken is told of the first write that failed
 * @throws MkvError failed: in use by another process, damaged, or the folder above the index is not to be had
 */
export async function openMemory(index: string, options: MemoryOptions = {}): Promise<LevelMemory> {
  const folder = trueMemoryOf(index);
  if (held.has(folder)) throw inUse(index);
  held.add(folder);
  await using undo = new AsyncDisposableStack();
  const release = () => {
    unlockForGo(index);
    held.delete(folder);
  };
  undo.defer(release);
  try {
    const level = await openLevel(folder);
    undo.defer(() => level.close());
    lockForGo(index);
    finishSwap(index);
    lockForGo(index); // It may be another one now.
    undo.move();
    return memoryIn(level, { ...options, release });
  } catch (error) {
    if (isLocked(error)) throw inUse(index, error);
    throw error instanceof MkvError ? error : cannotOpen(folder, (error as Error).cause ?? error);
  }
}

/** Opens the same for another thread, while the first has it open. Throws MkvError failed. */
export async function joinMemory(index: string, options: MemoryOptions = {}): Promise<LevelMemory> {
  const folder = trueMemoryOf(index);
  const level: Level = new ClassicLevel(folder, { ...SMALL, createIfMissing: false });
  try {
    await level.open();
  } catch (error) {
    throw cannotOpen(folder, (error as Error).cause ?? error);
  }
  return memoryIn(level, options);
}

/** What is remembered in this LevelDB, which is open; `release` is called when it has been closed. */
function memoryIn(level: Level, { onBroken, release }: MemoryOptions & { release?: () => void }): LevelMemory {
  const index = new LevelIndex(level, { name: level.location, sync: true, onBroken });
  const bytesOf = (name: string) => Buffer.from(name) as Uint8Array as Key;
  return {
    get(name) {
      const text = index.getText(bytesOf(name));
      return text === undefined ? undefined : parsed(text);
    },
    put: (name, value) => index.put(bytesOf(name), JSON.stringify(value)),
    delete: (name) => index.put(bytesOf(name), undefined),
    async page(prefix, { after, atMost }) {
      const found: [name: string, value: unknown][] = [];
      const start = bytesOf(after === undefined ? prefix : `${after}\0`);
      for await (const page of index.scan({ start }, { atOnce: atMost })) {
        for (const [key, text] of page) {
          const name = Buffer.from(key).toString();
          if (!name.startsWith(prefix) || found.length === atMost) return found;
          found.push([name, parsed(text)]);
        }
      }
      return found;
    },
    async [Symbol.asyncDispose]() {
      await index.close();
      release?.();
    },
  };
}

/** Throws MkvError failed if another process has this index open, though it holds neither lock: a tool of LevelDB's, for one. */
export async function requireUnlocked(index: string): Promise<void> {
  await probeLock(index).catch((error) => {
    throw inUse(index, error);
  });
}

async function openLevel(folder: string): Promise<Level> {
  let state = inspectIndex(folder);
  if ("why" in state) {
    await probeLock(folder); // It may only seem to be, while another process is at work on it.
    state = inspectIndex(folder);
  }
  if ("why" in state) throw cannotOpen(folder, state.why);
  const level: Level = new ClassicLevel(folder, { ...SMALL, createIfMissing: state.kind === "none" });
  await level.open();
  return level;
}

/** Throws only if another process holds this LevelDB, of which it reads nothing: after taking the lock it gives up. */
async function probeLock(folder: string): Promise<void> {
  try {
    await new ClassicLevel(folder, { createIfMissing: false, errorIfExists: true }).open();
  } catch (error) {
    if (isLocked(error)) throw error;
  }
}

/** The folder beside the index, by its true name: one index has one lock in this process, however it is written. */
function trueMemoryOf(index: string): string {
  const above = dirname(index);
  try {
    accessSync(`${above}/.`, constants.W_OK); // Fails if it is a file, too.
    return join(realpathSync(above), basename(memoryOf(index)));
  } catch (error) {
    const text = `the folder ${above} of the index cannot be written to: ${reasonOf(error)}`;
    throw new MkvError(
      "failed",
      `${text}: make it, and give it to the user that mkv runs as; see dmesg if it is read-only`,
      { cause: error },
    );
  }
}

function cannotOpen(folder: string, cause: unknown): MkvError {
  const text = `${folder} cannot be opened: ${reasonOf(cause)}`;
  const isWhole = reasonOf(cause).startsWith("IO error"); // No room, for one: without it more would be forgotten than need be.
  const holds = "It holds what mkv remembers of the volumes, and the buckets and open uploads of S3";
  const mend = "mount all disks, whose ids are learnt anew, move it away and start again; then run verify -repair";
  const damaged = `. ${holds}: if it is damaged, ${mend}`;
  return new MkvError("failed", text + (isWhole ? ": mend that and start again" : damaged), { cause });
}
