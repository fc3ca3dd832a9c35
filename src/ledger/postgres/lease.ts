// Owns for how long a claim is its owner's, by what the database has confirmed.
// 1. It holds for `leaseMs` from before the database was asked.
// 2. Once the machine may have been paused it is over, until the database is asked once more: the clock did not count.
// 3. Where the database says that the row is another's, it is over for good.
import { type Moment, pausesSeen } from "../../clock";
import { MkvError } from "../../errors";
import { limits } from "../../limits";

/** The lease of a claim; it begins when the database confirms it for the first time. */
export class ClaimLease {
  #asked: Moment | undefined;
  #isLost = false;

  /** See `Claim.untilMs`. */
  get untilMs(): number {
    if (!this.#asked || this.#isLost || this.#asked.pauses !== pausesSeen()) return Number.NEGATIVE_INFINITY;
    return this.#asked.atMs + limits.leaseMs;
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
