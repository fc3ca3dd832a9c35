// Owns the bringing of every key to the volumes where it belongs: one move a key, many at once.
import { MkvError } from "../errors";
import { showKey } from "../format/key";
import { limits } from "../limits";
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
      const { changed, leftBehind } = await whenFree(() => keeper.move(key, "length"));
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

/** Tries again for a while what another write or delete of the key keeps busy. */
export async function whenFree<T>(work: () => Promise<T>): Promise<T> {
  for (let waitMs = 50; ; waitMs *= 2) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof MkvError && error.code === "busy") || waitMs > limits.busyMs) throw error;
      await Bun.sleep(waitMs);
    }
  }
}
