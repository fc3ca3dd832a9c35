// Owns what is on the disk before the next step: files that are written as a whole, and names. One is the file EPOCH in the
// folder of an index: how far the store had come. LevelDB, that of Go as well, leaves alone what it does not know. So it goes
// wherever the index is copied.
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { MkvError, reasonOf } from "../../errors";
import { type Epoch, encodeEpoch, readEpoch } from "../../format/epoch";

/**
 * Puts a file with this text in its place, by way of `PATH.new`: after a crash it is there as a whole, or the one before it.
 * @throws MkvError failed
 */
export function writeDurably(path: string, text: string): void {
  const next = `${path}.new`;
  try {
    writeFileSync(next, text, { mode: 0o600 });
    sync(next);
    renameDurably(next, path);
  } catch (error) {
    throw cannot(path, "written", error);
  }
}

/** Removes a file, or a folder with all that it holds, if there is one. Throws MkvError failed. */
export function remove(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch (error) {
    throw cannot(path, "removed", error);
  }
}

export function renameDurably(from: string, to: string): void {
  renameSync(from, to);
  sync(dirname(to));
}

/** Brings a file, or the names in a folder, to the disk. */
export function sync(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** What the index says; undefined if it is none of mkv's yet, or a damaged one. */
export function epochOf(index: string): Epoch | undefined {
  try {
    return readEpoch(readFileSync(join(index, "EPOCH"), "latin1"));
  } catch {
    return undefined;
  }
}

/** Puts it on the disk, and returns it. Throws MkvError failed. */
export function setEpoch(index: string, epoch: Epoch): Epoch {
  writeDurably(join(index, "EPOCH"), encodeEpoch(epoch));
  return epoch;
}

/** Writes all of this, and returns its length in bytes. */
export function writeAll(file: number, text: string): number {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length;) at += writeSync(file, bytes, at);
  return bytes.length;
}

function cannot(path: string, what: string, cause: unknown): MkvError {
  return new MkvError("failed", `${path} cannot be ${what}: ${reasonOf(cause)}`, { cause });
}
