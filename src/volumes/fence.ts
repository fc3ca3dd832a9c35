// Owns the fence: every change that is sent to a volume says until when it may begin there, by the volume's own clock, and
// the volume refuses it later (the script `volume` says how). So what a dead or paused master left in some queue cannot
// land after the work it belonged to has ended.
//   Mkv-Until: SECONDS       since the epoch
//   Mkv-Sum: base64url(md5(" SECONDS METHOD URI DESTINATION "))     DESTINATION is that of a MOVE, or empty
// 1. The volume's clock is learnt from the `Date` of its answers: whole seconds that were over when the answer was sent, so
//    what is believed is never ahead of that clock, unless it has been set back since; it is asked again every `clockMs`.
// 2. A change may begin for at most `fenceMs`, and the rest of a second, after it was sent; `fenceOverMs` is beyond that.
// 3. Volumes without a fence are sent the same lines, and pay them no heed.
import { MkvError } from "../errors";
import { nowMs } from "../clock";
import { limits } from "../limits";
import { type Health } from "./health";

/** What a change that is sent now has to say. */
export type FenceFields = { readonly until: number; readonly sum: string };

/** Makes them for a method and a URI as the server knows it, without escapes. */
export function fenceFields(health: Health, server: string, method: string, uri: string): FenceFields | undefined {
  const offsetMs = health.clockOf(server);
  if (offsetMs === undefined) return undefined; // It says no dates: nginx always does.
  const until = Math.floor((nowMs() + offsetMs + limits.fenceMs) / 1000);
  return { until, sum: Bun.MD5.hash(` ${until} ${method} ${uri}  `, "base64url" as "base64") };
}

/** The same as header lines. */
export function fenceLines(health: Health, server: string, method: string, uri: string): string {
  const fields = fenceFields(health, server, method, uri);
  return fields === undefined ? "" : `Mkv-Until: ${fields.until}\r\nMkv-Sum: ${fields.sum}\r\n`;
}

/** Takes the server's clock from the date of an answer. */
export function learnClock(health: Health, server: string, date: string | undefined): void {
  const atMs = Date.parse(date ?? "");
  health.setClock(server, Number.isNaN(atMs) ? undefined : atMs - nowMs());
}

/** Whether a server's clock is not what was believed of it: it was set. */
export function wasSet(believedMs: number | undefined, offsetMs: number | undefined): boolean {
  if (believedMs === undefined || offsetMs === undefined) return false;
  return Math.abs(offsetMs - believedMs) >= limits.clockOffMs;
}

/** The failure of a change that the volume refused as late. */
export function cameTooLate(volume: string): MkvError {
  const why = `it was on its way for more than ${limits.fenceMs / 1000} s, or the volume's clock was set`;
  return new MkvError("volume-failed", `${volume} refuses a request that came too late (412): ${why}`);
}
