// Owns the small LevelDB that lies beside the index, as `.indexdb.mkv`: the lock of whoever holds the index, and what mkv
// remembers, which must not lie in the index itself, since the Go program must still open that one.
// 1. One process holds it, from before anything is looked at until it ends. The system frees it at once when that is
//    killed. The index may be renamed meanwhile: the lock does not go with it.
// 2. The first thread opens it, once, and the others join: they share one LevelDB, and its lock goes with the last of them.
// 3. A damaged one is never opened or removed. Only a person may move it away.
// 4. What is put or deleted is on the disk when the promise resolves, in the order of the calls. After a write has failed
//    no other is tried, and the process must end: LevelDB would lose what comes after a torn one.
import { accessSync, constants, existsSync, lstatSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ClassicLevel } from "classic-level";
import { MkvError, reasonOf } from "../../errors";
import { GroupCommit } from "../../group-commit";
import { type Memory } from "../ledger";
import { inspectIndex } from "./inspect";
import { inUse, isLocked, writeBatch } from "./leveldb";

/** What mkv remembers beside an index: values by name, anything that JSON can say. Throws MkvError failed. */
export type Beside = AsyncDisposable & Memory;

type BesideOptions = { readonly onBroken?: ((error: MkvError) => void) | undefined };

type Change = { type: "put"; key: string; value: string } | { type: "del"; key: string };

/** LevelDB's smallest: there is little to remember. */
const SMALL = { cacheSize: 64 * 1024, writeBufferSize: 64 * 1024, multithreading: true };

/** The folders that this process holds. */
const held = new Set<string>();

/**
 * The folder of an index that may be named by a symbolic link: all else lies beside the folder itself, whatever leads to it.
 * @throws MkvError failed if an earlier version has made that beside the link
 */
export function ownNameOf(index: string): string {
  if (!existsSync(index) || !lstatSync(index).isSymbolicLink()) return index; // Who may not look is told by the opening.
  const folder = realpathSync(index);
  if (!existsSync(besideOf(index))) return folder;
  const why = `${index} leads to ${folder}, but what belongs to the index lies beside ${index}, as ${besideOf(index)}`;
  throw new MkvError("failed", `${why}: put the folder itself in the place of that link`);
}

/** The folder that lies beside this index; its name begins with a dot, so that nothing that lists `indexdb*` sees it. */
export function besideOf(index: string): string {
  return join(dirname(index), `.${basename(index)}.mkv`);
}

/**
 * Takes the lock of this index until it is disposed of. Only the main thread may.
 * @param options.onBroken is told of the first write that failed
 * @throws MkvError failed: in use by another process, damaged, or the folder above the index is not to be had
 */
export async function openBeside(index: string, options: BesideOptions = {}): Promise<Beside> {
  const folder = trueBesideOf(index);
  if (held.has(folder)) throw inUse(index);
  held.add(folder);
  try {
    return besideIn(await openLevel(folder), folder, { ...options, release: () => held.delete(folder) });
  } catch (error) {
    held.delete(folder);
    if (isLocked(error)) throw inUse(index, error);
    throw error instanceof MkvError ? error : cannotOpen(folder, (error as Error).cause ?? error);
  }
}

/** Opens the same for another thread, while the first has it open. Throws MkvError failed. */
export async function joinBeside(index: string, options: BesideOptions = {}): Promise<Beside> {
  const folder = trueBesideOf(index);
  const level = new ClassicLevel(folder, { ...SMALL, createIfMissing: false });
  try {
    await level.open();
  } catch (error) {
    throw cannotOpen(folder, (error as Error).cause ?? error);
  }
  return besideIn(level, folder, options);
}

/** What is remembered in this LevelDB, which is open; `release` is called when it has been closed. */
function besideIn(
  level: ClassicLevel,
  folder: string,
  { onBroken, release }: BesideOptions & { release?: () => void },
): Beside {
  const changes: Change[] = [];
  let broken: MkvError | undefined;
  const failure = (error: unknown) =>
    new MkvError("failed", `${folder} cannot be read or written: ${reasonOf(error)}`, { cause: error });
  const commits = new GroupCommit(async () => {
    const all = changes.splice(0);
    if (broken) throw broken;
    try {
      await writeBatch(level, all, { sync: true });
    } catch (error) {
      broken = failure(error);
      onBroken?.(broken);
      throw broken;
    }
  });
  const change = (what: Change) => {
    changes.push(what);
    return commits.next();
  };
  return {
    get(name) {
      try {
        const text = level.getSync(name);
        return text === undefined ? undefined : JSON.parse(text);
      } catch (error) {
        throw failure(error);
      }
    },
    put: (name, value) => change({ type: "put", key: name, value: JSON.stringify(value) }),
    delete: (name) => change({ type: "del", key: name }),
    async page(prefix, { after, atMost }) {
      try {
        const from = after === undefined ? { gte: prefix } : { gt: after };
        const found = await level.iterator({ ...from, limit: atMost }).all();
        const others = found.findIndex(([name]) => !name.startsWith(prefix));
        return found.slice(0, others < 0 ? found.length : others).map(([name, text]) => [name, JSON.parse(text)]);
      } catch (error) {
        throw failure(error);
      }
    },
    async [Symbol.asyncDispose]() {
      await commits.next().catch(() => {}); // Whoever asked for a write has been told how it went.
      await level.close();
      release?.();
    },
  };
}

/** Throws MkvError failed if another process has this index open, though it does not hold the lock: the Go program, for one. */
export async function requireUnlocked(index: string): Promise<void> {
  await probeLock(index).catch((error) => {
    throw inUse(index, error);
  });
}

async function openLevel(folder: string): Promise<ClassicLevel> {
  let state = inspectIndex(folder);
  if ("why" in state) {
    await probeLock(folder); // It may only seem to be, while another process is at work on it.
    state = inspectIndex(folder);
  }
  if ("why" in state) throw cannotOpen(folder, state.why);
  const level = new ClassicLevel(folder, { ...SMALL, createIfMissing: state.kind === "none" });
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
function trueBesideOf(index: string): string {
  const above = dirname(index);
  try {
    accessSync(`${above}/.`, constants.W_OK); // Fails if it is a file, too.
    return join(realpathSync(above), basename(besideOf(index)));
  } catch (error) {
    const text = `the folder ${above} of the index cannot be written to: ${reasonOf(error)}`;
    throw new MkvError("failed", `${text}: make it, and give it to the user that mkv runs as`, { cause: error });
  }
}

function cannotOpen(folder: string, cause: unknown): MkvError {
  const text = `${folder} cannot be opened: ${reasonOf(cause)}`;
  const isWhole = reasonOf(cause).startsWith("IO error"); // No room, for one: without it more would be forgotten than need be.
  const damaged = ". It only holds what mkv remembers of the volumes: if it is damaged, move it away and start again";
  return new MkvError("failed", text + (isWhole ? ": mend that and start again" : damaged), { cause });
}
