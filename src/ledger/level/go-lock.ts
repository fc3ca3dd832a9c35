// Owns the lock by which the Go program knows that an index is in use: flock(2) of its file LOCK. LevelDB takes one by
// fcntl(2), and neither sees the other: without this one both programs would open one index, and destroy it.
// 1. It is taken before LevelDB opens the index, and given back after LevelDB has closed it: to close any descriptor of that
//    file gives up what LevelDB took. Only a new index has LevelDB first, since there is no file before.
// 2. It is one process's, of its main thread. The system frees it when that is killed.
import { dlopen } from "bun:ffi";
import { closeSync, openSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { inUse } from "./leveldb";

/** The open files, by the names of the indexes. */
const held = new Map<string, number>();

/**
 * Takes the lock of the index that is at this path now, if any, in the place of an earlier one.
 * @throws MkvError failed if another process has it
 */
export function lockForGo(index: string): void {
  unlockForGo(index);
  const descriptor = open(join(index, "LOCK"));
  if (descriptor === undefined) return;
  if (isFree(descriptor)) return void held.set(index, descriptor);
  closeSync(descriptor);
  throw inUse(index);
}

/** Gives it back. */
export function unlockForGo(index: string): void {
  const descriptor = held.get(index);
  if (descriptor === undefined) return;
  closeSync(descriptor);
  held.delete(index);
}

/** Nothing also of a file that may not be opened: LevelDB says why. */
function open(file: string): number | undefined {
  try {
    return mixing.includes(statfsSync(file).type >>> 0) ? undefined : openSync(file, "r");
  } catch {
    return undefined;
  }
}

/** NFS and SMB: Linux makes one kind of lock of both there (see flock(2)), and the lock of this process would keep LevelDB out. */
const mixing: readonly number[] = [0x6969, 0xff534d42, 0xfe534d42];
const [EXCLUSIVE, AT_ONCE, UNLOCK] = [2, 4, 8];

/** Takes the lock. It is free as well where the file system, or the system, has none: then not even that can be undone. */
function isFree(descriptor: number): boolean {
  const flock = flockOf();
  return !flock || flock(descriptor, EXCLUSIVE | AT_ONCE) === 0 || flock(descriptor, UNLOCK) !== 0;
}

function flockOf(): ((descriptor: number, operation: number) => number) | undefined {
  const libc = process.platform === "darwin" ? "libSystem.B.dylib" : "libc.so.6"; // By that name musl finds itself.
  try {
    return dlopen(libc, { flock: { args: ["i32", "i32"], returns: "i32" } }).symbols.flock;
  } catch {
    return undefined; // Better without this lock than no start.
  }
}
