// Owns the answer to "busy": a key is most often taken only for a moment, by a write or by what cleans up after one.
import { hasCode } from "../errors";
import { limits } from "../limits";

/** Tries again what finds its key busy, after longer and longer pauses, for about `forMs` in all. */
export async function retryBusy<T>(work: () => T | Promise<T>, forMs: number): Promise<T> {
  for (let waitMs = 50, waitedMs = 0; ; waitedMs += waitMs, waitMs = Math.min(2 * waitMs, limits.busyMs)) {
    try {
      return await work();
    } catch (error) {
      if (!hasCode(error, "busy") || waitedMs >= forMs) throw error;
      await Bun.sleep(waitMs * (0.5 + Math.random() / 2)); // Not all that wait at once.
    }
  }
}
