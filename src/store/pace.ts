// Owns the pace of work that nobody waits for: so much a second, and less while there is no time for it.
import { setTimeout } from "node:timers/promises";
import { nowMs } from "../clock";
import { MkvError } from "../errors";
import { limits } from "../limits";

/** Waits until so much more may be done: bytes read, or whatever is counted. */
export type Pace = (amount: number) => Promise<void>;

/**
 * Spreads work over time; a second's worth may be done at once.
 * @param perSecond how much a second; 0 is no limit
 * @param stop ends the waiting: it throws MkvError unavailable then
 */
export function paceOf(perSecond: number, stop?: AbortSignal): Pace {
  let readyMs = nowMs();
  return async (amount) => {
    if (perSecond > 0) {
      readyMs = Math.max(readyMs, nowMs() - 1000) + (amount / perSecond) * 1000;
      await pause(readyMs - nowMs(), stop);
    }
    if (stop?.aborted) throw new MkvError("unavailable", "the program is being stopped");
  };
}

/** The same chunks, no faster than this. */
export async function* paced(chunks: AsyncIterable<Uint8Array>, pace: Pace): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    await pace(chunk.length);
    yield chunk;
  }
}

/** Waits for so long, at most until stopped. */
export async function pause(ms: number, stop?: AbortSignal): Promise<void> {
  if (ms > 0) await setTimeout(ms, undefined, { signal: stop }).catch(() => {}); // Stopped.
}

/** Waits while this thread is late with what it has to do for clients, but not for ever. */
export async function whileLoaded(stop: AbortSignal): Promise<void> {
  for (let i = 0; i < limits.loadedPauses && !stop.aborted; i++) {
    const beforeMs = nowMs();
    await pause(1, stop);
    if (nowMs() - beforeMs < limits.loadedMs) return;
    await pause(limits.loadedPauseMs, stop);
  }
}
