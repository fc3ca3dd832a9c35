// Owns what the log is told of a database that cannot be asked: once that it is so, and once that it is over.
import { nowMs } from "../../clock";
import { databaseLimits } from "../../database-limits";
import { log, warn } from "../../log";

export class AwayLog {
  #away: { readonly sinceMs: number; failedMs: number } | undefined;

  /** @param shown how the database is named */
  constructor(readonly shown: string) {}

  /** It could not be asked, which was begun then. */
  failed(text: string, sinceMs: number): void {
    if (!this.#away) warn(text);
    this.#away ??= { sinceMs, failedMs: 0 };
    this.#away.failedMs = nowMs();
  }

  /** It was asked. While a table is locked others can be asked: it is over when nothing has failed for a while. */
  answered(): void {
    if (!this.#away || nowMs() < this.#away.failedMs + databaseLimits.quietMs) return;
    const { sinceMs, failedMs } = this.#away;
    this.#away = undefined;
    log(`the database ${this.shown} is back, after ${Math.round((failedMs - sinceMs) / 1000)} s`);
  }
}
