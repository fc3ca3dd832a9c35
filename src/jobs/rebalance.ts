// Owns the bringing of every key to the volumes where it belongs: one move a key, many at once.
import { MkvError } from "../errors";
import { type Key, keyOf, showKey } from "../format/key";
import { type RawEntry } from "../ledger/ledger";
import { limits } from "../limits";
import { retryBusy } from "../ledger/retry-busy";
import { Cursor, type Task } from "./cursor";
import { type JobProgress, each, forEach } from "./pool";
import { type JobTarget } from "./target";

export type Rebalance = {
  readonly target: JobTarget;
  readonly task: Task;
  readonly progress: JobProgress;
  /** Counted here as it goes on: `leftBehind` counts copies, `bytes` what was copied, the others keys. */
  readonly counts: { keys: number; moved: number; failed: number; leftBehind: number; bytes: number };
};

/**
 * Moves every key. What fails is named and counted; what was busy, or could not be looked at, is tried again at the end.
 * Throws MkvError only if the ledger fails.
 */
export async function rebalance({ target, task, progress, counts }: Rebalance): Promise<void> {
  const cursor = await Cursor.open<string>(target, { task, progress, counts });
  async function move(key: Key, forMs: number, onFailure: (error: MkvError) => boolean): Promise<void> {
    try {
      const { changed, leftBehind, bytes } = await retryBusy(() => target.move(key, { dryRun: task.dryRun }), forMs);
      if (changed) counts.moved++;
      counts.leftBehind += leftBehind;
      counts.bytes += bytes;
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      if (error.code === "absent" || onFailure(error)) return; // Absent: it was deleted meanwhile.
      counts.failed++;
      progress.note(`${JSON.stringify(showKey(key))}: ${error.message}`);
    }
  }
  const { from } = cursor;
  const scanned = each(target.scan(from?.after === undefined ? undefined : keyOf(from.after)));
  const work = async ([key]: RawEntry) => {
    await move(key, limits.busyMs, (error) => cursor.takes(showKey(key), error));
    progress.at({ what: "key", done: ++counts.keys, of: cursor.lastKeys });
  };
  const pause = cursor.pauses<RawEntry>("keys", ([key]) => showKey(key));
  await forEach(scanned, limits.movesAtOnce, work, pause);
  await forEach(cursor.later(), limits.movesAtOnce, ([shown, forMs]) => move(keyOf(shown), forMs, () => false));
  await cursor.end({ isWhole: true });
}
