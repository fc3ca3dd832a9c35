// Owns the bringing of every key to the volumes where it belongs: one move a key, many at once.
import { MkvError } from "../errors";
import { type Key, showKey } from "../format/key";
import { limits } from "../limits";
import { retryBusy } from "../store/retry-busy";
import { Later } from "./later";
import { type JobProgress, each, forEach } from "./pool";
import { type JobTarget, countKeys } from "./target";

/** `leftBehind` counts copies, the others keys. */
export type RebalanceCounts = { keys: number; moved: number; failed: number; leftBehind: number };

/**
 * Moves every key. What fails is named and counted; what was busy, or could not be looked at, is tried again at the end.
 * Throws MkvError only if the ledger fails.
 */
export async function rebalance(target: JobTarget, progress: JobProgress): Promise<RebalanceCounts> {
  const counts = { keys: 0, moved: 0, failed: 0, leftBehind: 0 };
  const later = new Later<Key>();
  const total = await countKeys(target);
  async function move(key: Key, forMs: number, onFailure: (error: MkvError) => boolean): Promise<void> {
    try {
      const { changed, leftBehind } = await retryBusy(() => target.move(key, "length"), forMs);
      if (changed) counts.moved++;
      counts.leftBehind += leftBehind;
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      if (error.code === "absent" || onFailure(error)) return; // Absent: it was deleted meanwhile.
      counts.failed++;
      progress.note(`${JSON.stringify(showKey(key))}: ${error.message}`);
    }
  }
  await forEach(each(target.scan()), limits.movesAtOnce, async ([key]) => {
    await move(key, limits.busyMs, (error) => later.takes(key, error));
    progress.at(++counts.keys, Math.max(total, counts.keys));
  });
  await forEach(later.items(), limits.movesAtOnce, ([key, forMs]) => move(key, forMs, () => false));
  return counts;
}
