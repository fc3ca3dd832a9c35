// Owns the bringing of every key to the volumes where it belongs: one `moveKey` a key, many at once.
import { MkvError } from "../errors";
import { type Key, showKey } from "../format/key";
import { limits } from "../limits";
import { moveKey } from "../store/move";
import { type Store } from "../store/store";
import { forEach } from "./pool";
import { type JobProgress } from "./rebuild";

/** `leftBehind` counts copies, the others keys. */
export type RebalanceCounts = { keys: number; moved: number; failed: number; leftBehind: number };

/** Moves every key; what fails is noted and counted. Throws MkvError only if the index fails. */
export async function rebalance(store: Store, progress: JobProgress): Promise<RebalanceCounts> {
  const counts = { keys: 0, moved: 0, failed: 0, leftBehind: 0 };
  let total = 0;
  for await (const page of store.index.scan({})) total += page.length;
  await forEach(keysOf(store), limits.movesAtOnce, async (key) => {
    counts.keys++;
    try {
      const { changed, leftBehind } = await moveKey(store, key);
      if (changed) counts.moved++;
      counts.leftBehind += leftBehind.length;
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      counts.failed++;
      progress.note(`${JSON.stringify(showKey(key))}: ${error.message}`);
    }
    progress.at(counts.keys, total);
  });
  return counts;
}

async function* keysOf(store: Store): AsyncGenerator<Key> {
  for await (const page of store.index.scan({})) for (const { key } of page) yield key;
}
