// Owns the swap of a finished index for the one that is in use. Whatever moment a crash chooses, one of the two is
// found again, and never a third thing:
//   NAME           the index
//   .NAME.rebuild  one that is being made: worth nothing, until it is swapped in
//   .NAME.new      one that is finished and on the disk: it is the index, as soon as it is in its place
//   .NAME.old      the one that was replaced: it may be half removed
// 1. Only what is finished, closed and synced is ever called .NAME.new; from that rename on the swap can only go forward.
// 2. Each rename is on the disk before the next step.
// 3. Whoever swaps, or finishes a swap, holds the lock beside the index, and nobody has either index open.
// 4. Nothing takes the place of a mount point. An index that is there is served.
// 5. What an operator has laid aside as NAME.old or made as NAME.new is left alone.
import { existsSync, readFileSync, readdirSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { MkvError, reasonOf } from "../../errors";
import { remove, renameDurably, sync } from "./durable";

/**
 * Whether a disk is mounted at this place itself, by whatever path it is named: the kernel renames no mount point, and all that
 * belongs to the index lies on another disk.
 */
export function isMountPoint(index: string): boolean {
  return existsSync(index) && mountPoints().includes(realpathSync(index));
}

function requireNoMount(index: string): void {
  if (isMountPoint(index))
    throw new MkvError("failed", `${index} is a mount point, where no index can be put: name a folder in it as -db`);
}

/** None where the system does not tell. */
function mountPoints(): string[] {
  const path = "/proc/self/mountinfo";
  const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n") : [];
  const byte = (_: string, octal: string) => String.fromCharCode(Number.parseInt(octal, 8));
  return lines.map((line) => (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, byte));
}

/**
 * The empty folder where a new index is made: what runs have left that were cut short is removed.
 * @throws MkvError failed: none can be made there
 */
export function cleared(index: string): string {
  requireNoMount(index);
  const folder = beside(index, "rebuild");
  for (const left of [beside(index, "old"), folder]) remove(left);
  return folder;
}

/**
 * Puts the finished index, which is closed, in the place of the one that is in use, and removes that one.
 * @throws MkvError failed: a folder cannot be renamed; `finishSwap` goes on from there
 */
export function swapIndex(index: string): void {
  run(index, swapSteps(index));
}

/**
 * Ends what a crash has left of a swap. To be called before anything is looked at.
 * No index, but NAME.old and NAME.rebuild: this is the middle of a swap of version 0.1.0, and the old one is whole.
 * @throws MkvError failed: a folder cannot be renamed
 */
export function finishSwap(index: string): void {
  const [earlier, unfinished] = ["old", "rebuild"].map((ending) =>
    join(dirname(index), `${basename(index)}.${ending}`),
  );
  if (existsSync(beside(index, "new"))) run(index, installSteps(index));
  else if (!existsSync(index) && existsSync(earlier!) && existsSync(unfinished!)) {
    run(index, [() => renameDurably(earlier!, index)]);
  }
}

/** The steps of a swap, any of which may be the last before a crash. */
export function swapSteps(index: string): readonly (() => void)[] {
  const finished = beside(index, "rebuild");
  return [
    () => {
      requireNoMount(index); // One that was mounted meanwhile.
      syncAll(finished);
    },
    () => renameDurably(finished, beside(index, "new")), // From here on the new one is the index.
    ...installSteps(index),
  ];
}

function installSteps(index: string): readonly (() => void)[] {
  const [old, next] = [beside(index, "old"), beside(index, "new")];
  return [
    () => existsSync(index) && remove(old), // Of an earlier swap.
    () => existsSync(index) && renameDurably(index, old),
    () => renameDurably(next, index),
    () => remove(old),
  ];
}

function run(index: string, steps: readonly (() => void)[]): void {
  try {
    for (const step of steps) step();
  } catch (error) {
    const text = `a finished index cannot be put in its place, ${index}: ${reasonOf(error)}`;
    throw new MkvError("failed", `${text}: mend that and start again`, { cause: error });
  }
}

/** Brings a folder of files to the disk, together with its own name. */
function syncAll(folder: string): void {
  for (const name of readdirSync(folder)) sync(join(folder, name));
  sync(folder);
  sync(dirname(folder));
}

function beside(index: string, ending: string): string {
  return join(dirname(index), `.${basename(index)}.${ending}`);
}
