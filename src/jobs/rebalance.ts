// Owns the bringing of every key to the volumes where it belongs: one move a key, many at once.
import { MkvError } from "../errors";
import { showKey } from "../format/key";
import { limits } from "../limits";
import { retryBusy } from "../store/retry-busy";
import { type Keeper } from "./keeper";
import { type JobProgress, each, forEach } from "./pool";

/** `leftBehind` counts copies, the others keys. */
export type RebalanceCounts = { keys: number; moved: number; failed: number; leftBehind: number };

/** Moves every key; what fails is noted and counted. Throws MkvError only if the index fails. */
export async function rebalance(keeper: Keeper, progress: JobProgress): Promise<RebalanceCounts> {
  const counts = { keys: 0, moved: 0, failed: 0, leftBehind: 0 };
  let total = 0;
  for await (const page of keeper.scan({})) total += page.length;
  await forEach(each(keeper.scan({})), limits.movesAtOnce, async ([key]) => {
    counts.keys++;
    try {
      const { changed, leftBehind } = await retryBusy(() => keeper.move(key, "length"), limits.busyMs);
      if (changed) counts.moved++;
      counts.leftBehind += leftBehind;
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      if (error.code === "absent" || error.code === "busy") return; // Deleted meanwhile, or in the hands of its writer.
      counts.failed++;
      progress.note(`${JSON.stringify(showKey(key))}: ${error.message}`);
    }
    progress.at(counts.keys, total);
  });
  return counts;
}
