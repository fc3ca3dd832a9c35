// Owns the scrub: every copy is read and compared within a given time, again and again, and mended from a good one.
//   "scrubbed" -> Scrubbed                  in the ledger's memory: the last one that came to its end
import { nowMs } from "../../clock";
import { type Key, showKey } from "../../format/key";
import { limits } from "../../limits";
import { counted, log, warn } from "../../log";
import { counters, gauge } from "../../metrics";
import { shaped } from "../../shape";
import { type Care } from "./care";
import { type Mended, mend } from "./mend";
import { type Problem } from "../heal";
import { type Pace, paceOf, pause } from "../pace";
import { walkOn } from "./walk";

type Scrubbed = { readonly atMs: number };

const findings = counters("mkv_scrub_findings_total", "Copies that a scrub found so, or could not look at.", ["kind"]);
const kinds = { missing: findings.of("missing"), damaged: findings.of("damaged"), unknown: findings.of("unknown") };
const scrubbedAt = gauge("mkv_scrubbed_timestamp_seconds", "When all copies had been read and compared; 0 is never.");

/** Reads and compares all copies once, in nine tenths of this time, or goes on with it. */
export async function scrub(care: Care, { periodMs, seen }: { periodMs: number; seen: ScrubLog }): Promise<void> {
  const { store, stop } = care;
  const { memory } = store.ledger;
  const last = shaped<Scrubbed>(await memory.get("scrubbed"), { atMs: 0 });
  scrubbedAt.set((last?.atMs ?? 0) / 1000);
  const [slow, fast] = [paceOf(limits.scrubBytes, stop), paceOf(0, stop)];
  const lateShare = paceOf((limits.scrubLateTimes * 1000) / periodMs, stop);
  const tally = { missing: 0, damaged: 0, unknown: 0, mended: 0, unread: 0 };
  let [isLate, share] = [false, 0];
  const reading: Pace = (bytes) => (isLate ? fast(bytes) : slow(bytes));
  const ended = await walkOn(
    store.ledger,
    {
      name: "scrub",
      counts: true,
      tally,
      waitMs({ done, total, spentMs }) {
        const waitMs = (done / total) * 0.9 * periodMs - spentMs;
        share = 1 / total;
        isLate = waitMs < -limits.scrubLate * periodMs;
        return waitMs;
      },
      async look(entry) {
        if (isLate) await lateShare(share);
        const mended = await mend(care, entry, { depth: "md5", reading });
        count(tally, mended);
        seen.saw(entry[0], mended);
      },
    },
    stop,
  );
  if (!ended) return;
  const { done: keys, spentMs: tookMs } = ended;
  if (keys === 0) return await pause(Math.min(0.9 * periodMs, limits.scrubEmptyMs), stop); // There are no keys yet.
  if (tally.unread === 0) {
    const atMs = Date.now();
    await memory.put("scrubbed", { atMs } satisfies Scrubbed);
    scrubbedAt.set(atMs / 1000);
  }
  tellEnd(keys, tally);
  if (tookMs > periodMs) warn(`scrub: it took ${hoursOf(tookMs)} hours, -scrub allows ${hoursOf(periodMs)}`);
}

/** What a scrub has found, `unread` of it unknown to its end, and the keys that it has mended. */
type Tally = Record<keyof typeof kinds | "mended" | "unread", number>;

function count(tally: Tally, { findings, isMended }: Mended): void {
  if (isMended) tally.mended++;
  for (const { problem } of findings) {
    if (!isKind(problem)) continue;
    kinds[problem].add();
    tally[problem]++;
    if (problem === "unknown" && !isMended) tally.unread++;
  }
}

function isKind(problem: Problem): problem is keyof typeof kinds {
  return problem in kinds;
}

/** Says how a scrub has ended. */
function tellEnd(keys: number, { missing, damaged, unknown, mended, unread }: Tally): void {
  const counts = `${missing} missing, ${damaged} damaged, ${unknown} unknown; ${counted(mended, "key")} mended`;
  const but = unread > 0 ? `, but for ${unread} that could not be read` : "";
  const say = missing + damaged + unknown > 0 ? warn : log;
  say(`scrub: all copies of ${counted(keys, "key")} were compared${but}: ${counts}`);
}

function hoursOf(ms: number): string {
  return (ms / 3_600_000).toFixed(1);
}

/** What this process says of what its scrubs find: each finding if they are few, and how many more if they are many. */
export class ScrubLog {
  #more = 0;
  #saidMs = Number.NEGATIVE_INFINITY;

  saw(key: Key, { findings }: Mended): void {
    for (const { problem, line } of findings)
      if (isKind(problem)) this.#tell(`${JSON.stringify(showKey(key))}: ${line}`);
  }

  #tell(line: string): void {
    if (nowMs() < this.#saidMs + limits.careLogMs) return void this.#more++;
    const more = this.#more > 0 ? ` (and ${this.#more} more)` : "";
    warn(`scrub: ${line}${more}`);
    this.#more = 0;
    this.#saidMs = nowMs();
  }
}
