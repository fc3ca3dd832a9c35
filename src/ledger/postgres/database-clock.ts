// Owns the question whether the clock of the database was set forward. Then claims look as if they had run out whose owners
// are at work, and debts as if nothing could come late any more: nobody acts on either until all who live have renewed.
import { nowMs } from "../../clock";
import { limits } from "../../limits";
import { type Row } from "./connection";

/** What it says, as a column. */
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
    return nowMs() < this.#setMs + limits.leaseMs + limits.leaseGraceMs + limits.streamMs;
  }
}
