// Owns the scrub: every copy is read and compared within a given time, again and again, and mended from a good one.
//   "scrubbed" -> Scrubbed                  in the ledger's memory: the last one that came to its end
import { nowMs } from "../clock";
import { showKey } from "../format/key";
import { limits } from "../limits";
import { warn } from "../log";
import { counters, gauge } from "../metrics";
import { type Care } from "./caring";
import { mend } from "./mend";
import { type Pace, paceOf, pause } from "./pace";
import { type Progress, walkOn } from "./walk";

type Scrubbed = { readonly atMs: number };

const findings = counters("mkv_scrub_findings_total", "Copies that a scrub found so, or could not look at.", ["kind"]);
const kinds = { missing: findings.of("missing"), damaged: findings.of("damaged"), unknown: findings.of("unknown") };
const scrubbedAt = gauge("mkv_scrubbed_timestamp_seconds", "When all copies had been read and compared; 0 is never.");

/** Reads and compares all copies once, in nine tenths of this time, or goes on with it. */
export async function scrub(care: Care, { periodMs, seen }: { periodMs: number; seen: ScrubLog }): Promise<void> {
  const { store, stop } = care;
  const { memory } = store.ledger;
  const last = (await memory.get("scrubbed")) as Scrubbed | undefined;
  scrubbedAt.set((last?.atMs ?? 0) / 1000);
  const slow = paceOf(limits.scrubBytes, stop);
  let isLate = false;
  const reading: Pace = async (bytes) => {
    if (!isLate) await slow(bytes);
  };
  const ended = await walkOn(
    store.ledger,
    {
      name: "scrub",
      counts: true,
      concerns: () => true,
      waitMs({ done, total, spentMs }: Progress) {
        const waitMs = Math.min(1, done / total) * 0.9 * periodMs - spentMs;
        isLate = waitMs < -limits.scrubLate * periodMs;
        return waitMs;
      },
      mayGoOn: () => true,
      async look(entry) {
        const { findings, isMended } = await mend(care, entry, { depth: "md5", reading });
        seen.looked(isMended);
        for (const { problem, line } of findings) {
          if (problem !== "missing" && problem !== "damaged" && problem !== "unknown") continue;
          kinds[problem].add();
          seen.found(problem, `${JSON.stringify(showKey(entry[0]))}: ${line}`);
        }
      },
    },
    stop,
  );
  if (ended === "later") return;
  if (seen.isEmpty) await pause(0.9 * periodMs, stop); // There are no keys yet.
  const atMs = Date.now();
  await memory.put("scrubbed", { atMs } satisfies Scrubbed);
  scrubbedAt.set(atMs / 1000);
  seen.ended();
}

/** What this process says of its scrubs: each finding if they are few, sums if they are many. */
export class ScrubLog {
  #keys = 0;
  #mended = 0;
  readonly #found = { missing: 0, damaged: 0, unknown: 0 };
  #more = 0;
  #saidMs = Number.NEGATIVE_INFINITY;

  get isEmpty(): boolean {
    return this.#keys === 0;
  }

  looked(isMended: boolean): void {
    this.#keys++;
    if (isMended) this.#mended++;
  }

  found(problem: keyof typeof kinds, line: string): void {
    this.#found[problem]++;
    if (nowMs() < this.#saidMs + limits.careLogMs) return void this.#more++;
    const more = this.#more > 0 ? `, and ${this.#more} more things since it said so last` : "";
    warn(`scrub: ${line}${more}`);
    this.#more = 0;
    this.#saidMs = nowMs();
  }

  /** Says how a scrub has ended, if anything was wrong. */
  ended(): void {
    const { missing, damaged, unknown } = this.#found;
    if (missing + damaged + unknown > 0) {
      const counts = `${missing} missing, ${damaged} damaged, ${unknown} unknown`;
      warn(`scrub: ${this.#keys} keys were read and compared: ${counts}; ${this.#mended} keys were mended`);
    }
    this.#keys = this.#mended = this.#more = 0;
    this.#found.missing = this.#found.damaged = this.#found.unknown = 0;
  }
}
