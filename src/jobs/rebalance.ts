// Owns the bringing of every key to the volumes where it belongs: one move a key, many at once.
import { MkvError } from "../errors";
import { type Key, keyOf, showKey } from "../format/key";
import { type RawEntry } from "../ledger/ledger";
import { limits } from "../limits";
import { retryBusy } from "../ledger/retry-busy";
import { Cursor, type Task } from "./cursor";
import { Later } from "./later";
import { type JobProgress, each, forEach } from "./pool";
import { type JobTarget } from "./target";

/** `leftBehind` counts copies, `bytes` what was copied, the others keys. */
export type RebalanceCounts = { keys: number; moved: number; failed: number; leftBehind: number; bytes: number };

/** What is moved, and how. */
export type Rebalance = {
  readonly target: JobTarget;
  readonly task: Task;
  readonly progress: JobProgress;
  /** Counted here as it goes on. */
  readonly counts: RebalanceCounts;
};

/**
 * Moves every key. What fails is named and counted; what was busy, or could not be looked at, is tried again at the end.
 * Throws MkvError only if the ledger fails.
 */
export async function rebalance({ target, task, progress, counts }: Rebalance): Promise<void> {
  const later = new Later<Key>();
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
  const cursor = await Cursor.open(target, { task, progress });
  const { from } = cursor;
  Object.assign(counts, from?.counts);
  for (const shown of (from?.rest ?? []) as readonly string[]) later.add(keyOf(shown));
  const pause = {
    isDue: () => cursor.isDue && later.all.length <= limits.triedAgainRemembered,
    rest: ([key]: RawEntry, waitedMs: number) =>
      cursor.save({ over: "keys", after: showKey(key), counts, rest: later.all.map(showKey) }, waitedMs),
  };
  const scanned = each(target.scan(from?.after === undefined ? undefined : keyOf(from.after)));
  const work = async ([key]: RawEntry) => {
    await move(key, limits.busyMs, (error) => later.takes(key, error));
    progress.at({ what: "key", done: ++counts.keys, of: cursor.lastKeys });
  };
  await forEach(scanned, limits.movesAtOnce, work, pause);
  await forEach(later.items(), limits.movesAtOnce, ([key, forMs]) => move(key, forMs, () => false));
  await cursor.end(counts);
}
