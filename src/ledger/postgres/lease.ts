// Owns for how long a claim is its owner's, by what the database has confirmed.
// 1. It holds for `leaseMs` from before the database was asked.
// 2. Once the machine may have been paused it is over, until the database is asked once more: the clock did not count.
// 3. Where the database says that the row is another's, it is over for good.
// 4. If the clock of the database was set forward, claims look as if they had run out whose owners are at work, and debts as
//    if nothing could come late any more: nobody acts on either until all who live have renewed.
import { type Moment, nowMs, pausesSeen } from "../../clock";
import { MkvError } from "../../errors";
import { databaseLimits } from "../../database-limits";
import { limits } from "../../limits";
import { type Row } from "./connection";

/** The lease of a claim; it begins when the database confirms it for the first time. */
export class ClaimLease {
  #asked: Moment | undefined;
  #isLost = false;

  /** See `Claim.untilMs`. */
  get untilMs(): number {
    if (!this.#asked || this.#isLost || this.#asked.pauses !== pausesSeen()) return Number.NEGATIVE_INFINITY;
    return this.#asked.atMs + databaseLimits.leaseMs;
  }

  /** The row was the owner's when the database was asked, which was then. */
  confirm(asked: Moment): void {
    if (!this.#asked || asked.atMs > this.#asked.atMs) this.#asked = asked;
  }

  /** The row is not the owner's any more. */
  lose(): void {
    this.#isLost = true;
  }
}

/** The failure of an owner whose row is another's. */
export function lost(): MkvError {
  const why = "this master was away for longer than its claim, and another has taken the key over";
  return new MkvError("unavailable", `${why}: ask what became of it`);
}

/** What the clock of the database says, as a column. */
export const databaseMs = "(extract(epoch from now()) * 1000)::float8";

/** Clocks that nobody sets drift apart by less than this. */
const DRIFT = 0.001;

/** The clock of the database, as a thread hears of it. */
export class DatabaseClock {
  /** The most that it was ahead of `nowMs`, and when that was heard. */
  #ahead: { readonly mostMs: number; readonly atMs: number } | undefined;
  #setMs = Number.NEGATIVE_INFINITY;

  /** It said this in the last column of these rows, if there are any, after it was asked at `askedMs`. */
  hear([row]: readonly Row[], askedMs: number): void {
    if (!row) return;
    const saidMs = row.at(-1) as number;
    const atMs = nowMs();
    const before = this.#ahead;
    this.#ahead = { mostMs: saidMs - askedMs, atMs };
    if (!before) return;
    const tolerated = limits.clockOffMs + DRIFT * (atMs - before.atMs);
    if (saidMs - atMs > before.mostMs + tolerated) this.#setMs = atMs;
  }

  /** Whether it was set forward so lately that its times are not to be gone by. */
  get wasSet(): boolean {
    return nowMs() < this.#setMs + databaseLimits.leaseMs + databaseLimits.leaseGraceMs + databaseLimits.streamMs;
  }
}
