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
  let isLate = false;
  const reading: Pace = (bytes) => (isLate ? fast(bytes) : slow(bytes));
  const ended = await walkOn(
    store.ledger,
    {
      name: "scrub",
      counts: true,
      waitMs({ done, total, spentMs }) {
        const waitMs = Math.min(1, done / total) * 0.9 * periodMs - spentMs;
        isLate = waitMs < -limits.scrubLate * periodMs;
        return waitMs;
      },
      async look(entry) {
        seen.saw(entry[0], await mend(care, entry, { depth: "md5", reading }));
      },
    },
    stop,
  );
  if (!ended) return;
  const { done: keys, spentMs: tookMs } = ended;
  if (keys === 0) await pause(0.9 * periodMs, stop); // There are no keys yet.
  const atMs = Date.now();
  await memory.put("scrubbed", { atMs } satisfies Scrubbed);
  scrubbedAt.set(atMs / 1000);
  seen.ended(keys);
  if (tookMs > periodMs) warn(`scrub: it took ${hoursOf(tookMs)} hours, -scrub allows ${hoursOf(periodMs)}`);
}

function hoursOf(ms: number): string {
  return (ms / 3_600_000).toFixed(1);
}

/** What this process says of its scrubs: each finding if they are few, sums if they are many. */
export class ScrubLog {
  #mended = 0;
  readonly #found = { missing: 0, damaged: 0, unknown: 0 };
  #more = 0;
  #saidMs = Number.NEGATIVE_INFINITY;

  saw(key: Key, { findings, isMended }: Mended): void {
    if (isMended) this.#mended++;
    for (const { problem, line } of findings) {
      if (problem !== "missing" && problem !== "damaged" && problem !== "unknown") continue;
      kinds[problem].add();
      this.#found[problem]++;
      this.#tell(`${JSON.stringify(showKey(key))}: ${line}`);
    }
  }

  #tell(line: string): void {
    if (nowMs() < this.#saidMs + limits.careLogMs) return void this.#more++;
    const more = this.#more > 0 ? ` (and ${this.#more} more)` : "";
    warn(`scrub: ${line}${more}`);
    this.#more = 0;
    this.#saidMs = nowMs();
  }

  /** Says how a scrub has ended, with what was found since the one before, or since the process began. */
  ended(keys: number): void {
    const { missing, damaged, unknown } = this.#found;
    const counts = `${missing} missing, ${damaged} damaged, ${unknown} unknown`;
    const say = missing + damaged + unknown > 0 ? warn : log;
    say(
      `scrub: all copies of ${counted(keys, "key")} were compared: ${counts}; ${counted(this.#mended, "key")} mended`,
    );
    this.#mended = this.#more = 0;
    this.#found.missing = this.#found.damaged = this.#found.unknown = 0;
  }
}
