// Owns the owner of an index: what root does to one leaves it to the user whose it is, who could not open it otherwise. That
// user may swap folders meanwhile: so only files with names that an index has are handed over, wherever they turn out to be.
import { type Stats, chmodSync, lchownSync, lstatSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { memoryOf } from "../ledger/level/memory";
import { inspectIndex, isOfIndex } from "../ledger/level/inspect";
import { journalsOf } from "../ledger/level/journal";
import { factsOf } from "../ledger/level/leveldb";

/**
 * From now on what this process makes is closed to other users, and so is the index. What it returns gives all that root has
 * made of it to the owner that it had, or that the folder above it has.
 */
export function closeToOthers(index: string): () => void {
  process.umask(0o077);
  const owner = lookAt(index) ?? lookAt(memoryOf(index)) ?? lookAt(dirname(index));
  try {
    // A folder of something else is refused later, and stays as it is: it may be `/`.
    if (isFolder(index) && inspectIndex(index).kind !== "other") chmodSync(index, 0o700);
  } catch {
    // It is another user's, and stays as it is.
  }
  return () => {
    if (!owner || owner.uid === 0 || process.getuid?.() !== 0) return;
    for (const folder of [index, memoryOf(index), factsOf(index)]) {
      const names = isFolder(folder) ? readdirSync(folder) : [];
      for (const name of names.filter(isOfIndex)) give(join(folder, name), owner);
      give(folder, owner);
    }
    if (isFolder(dirname(index))) for (const path of journalsOf(index)) give(path, owner);
  };
}

/** Gives what is root's, and is no other file by another name, to this owner. */
function give(path: string, { uid, gid }: Stats): void {
  const found = lookAt(path);
  if (found?.uid !== 0 || !(found.isDirectory() || (found.isFile() && found.nlink === 1))) return;
  lchownSync(path, uid, gid);
}

/** Nothing also of what may not be looked at: the opening of the index says why. */
function lookAt(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

function isFolder(path: string): boolean {
  return lookAt(path)?.isDirectory() === true;
}
