// Owns what is on the disk before the next step: files that are written as a whole, and names.
import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

/** Puts a file with this text in its place, by way of `PATH.new`: after a crash it is there as a whole, or the one before it. */
export function writeDurably(path: string, text: string): void {
  const next = `${path}.new`;
  writeFileSync(next, text, { mode: 0o600 });
  sync(next);
  renameDurably(next, path);
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
