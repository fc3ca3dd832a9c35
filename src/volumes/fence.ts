// Owns the fence: every change that is sent to a volume says until when it may begin there, by the volume's own clock, and
// the volume refuses it later (signer.ts says how). So what a dead or paused master left in some queue cannot
// land after the work it belonged to has ended.
// 1. The volume's clock is learnt from the `Date` of its answers: whole seconds that were over when the answer was sent, so
//    what is believed is never ahead of that clock, unless it has been set back since; it is asked again every `clockMs`.
// 2. A change may begin for at most `fenceMs`, and the rest of a second, after it was sent; `fenceOverMs` is beyond that.
// 3. A volume's clock that has gone further than ours was set, or this machine was paused: which of the two, nobody can tell.
//    So no lease of before holds any more (clock.ts): what is signed by the new time would be too late for it.
// 4. Volumes without a fence are sent the same lines, and pay them no heed.
import { MkvError } from "../errors";
import { nowMs, sawPause } from "../clock";
import { limits } from "../limits";
import { type Clock, type Health } from "./health";

/** Takes the server's clock from the date of an answer to what was sent then, by `nowMs`. */
export function learnClock(health: Health, server: string, date: string | undefined, sentMs: number): void {
  const atMs = Date.parse(date ?? "");
  if (Number.isNaN(atMs)) return health.setClock(server, undefined);
  const clock = { leastMs: atMs - nowMs(), mostMs: atMs + 1000 - sentMs };
  const believed = health.clockOf(server);
  // First: another thread may sign by the new time at once.
  if (believed && clock.leastMs > believed.mostMs + limits.clockOffMs) sawPause();
  health.setClock(server, clock);
}

/** Whether a server's clock is not what was believed of it: it was set. */
export function wasSet(believed: Clock | undefined, now: Clock | undefined): boolean {
  return believed !== undefined && now !== undefined && Math.abs(now.leastMs - believed.leastMs) >= limits.clockOffMs;
}

/** The failure of a change that the volume refused as late. */
export function cameTooLate(volume: string): MkvError {
  const why = `it was on its way for more than ${limits.fenceMs / 1000} s, or the volume's clock was set`;
  return new MkvError("volume-failed", `${volume} refuses a request that came too late (412): ${why}`);
}
