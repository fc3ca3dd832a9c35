// Owns the owner of an index, who alone is at work on it. Started as root, this process becomes that user before it opens
// anything there: so nothing of root's is left, however it ends, and that user can have root do nothing by swapping folders.
import { type Stats, chmodSync, lstatSync } from "node:fs";
import { dirname } from "node:path";
import { MkvError, reasonOf } from "../errors";
import { inspectIndex } from "../ledger/level/inspect";
import { memoryOf } from "../ledger/level/memory";

/**
 * Becomes the owner of the index, or of the folder where it is to be made. From now on what this process makes is closed to
 * other users, and so is the index. Throws MkvError failed.
 */
export function becomeOwner(index: string): void {
  process.umask(0o077);
  const owner = lookAt(index) ?? lookAt(memoryOf(index)) ?? lookAt(dirname(index));
  try {
    if (owner && owner.uid !== 0 && process.getuid?.() === 0) become(owner.uid, owner.gid);
  } catch (error) {
    const text = `${index} belongs to user ${owner!.uid}, who root cannot become here: ${reasonOf(error)}`;
    throw new MkvError("failed", `${text}: run mkv as that user`, { cause: error });
  }
  try {
    // A folder of something else is refused later, and stays as it is: it may be `/`.
    if (inspectIndex(index).kind !== "other") chmodSync(index, 0o700);
  } catch {
    // There is none yet, or it is another user's, and stays as it is.
  }
}

/** Becomes this user for good, with all its threads: root no more. */
export function become(user: string | number, group: string | number): void {
  try {
    (process as unknown as { initgroups(...of: [typeof user, typeof group]): void }).initgroups(user, group);
  } catch {
    process.setgroups!([group]); // A user without a name, as in a container.
  }
  process.setgid!(group);
  process.setuid!(user);
}

/** Nothing also of what may not be looked at: the opening of the index says why. */
function lookAt(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
