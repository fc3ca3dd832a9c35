// Owns what a job tries once more at its end, when whatever stood in the way may have passed.
import { nowMs } from "../clock";
import { type MkvError } from "../errors";
import { limits } from "../limits";

const passing: ReadonlySet<string> = new Set(["busy", "unavailable", "timeout", "volume-failed"]);

/** A bounded number of things to try again. */
export class Later<T> {
  readonly #items: T[] = [];

  /** Whether this is tried again: its failure may pass, and there is room. */
  takes(item: T, { code }: MkvError): boolean {
    return passing.has(code) && this.add(item);
  }

  /** Everything that was taken. */
  get all(): readonly T[] {
    return this.#items;
  }

  /** Takes this if there is room. */
  add(item: T): boolean {
    if (this.#items.length >= limits.triedAgain) return false;
    this.#items.push(item);
    return true;
  }

  /**
   * Everything that was taken, and for how long each is worth a try: after that, what a process before this one had sent
   * for its key can land no more.
   */
  async *items(): AsyncGenerator<readonly [item: T, forMs: number]> {
    const untilMs = nowMs() + limits.fenceOverMs;
    for (const item of this.#items) yield [item, Math.max(limits.busyMs, untilMs - nowMs())];
  }
}
