// Owns what is said of healing: sums, and one reason each of what fails or waits, so that no store is too large for it.
import { nowMs } from "../clock";
import { counted } from "../counted";
import { limits } from "../limits";
import { log, warn } from "../log";

/** What was healed since it was said last, and what is left after the round that goes on. */
export class HealLog {
  #healed = 0;
  #failed = 0;
  #failure = "";
  readonly #waiting = new Map<string, number>();
  #said = "";
  #saidLeft = 0;
  #saidMs = Number.NEGATIVE_INFINITY;

  healed(): void {
    this.#healed++;
  }

  failed(line: string): void {
    this.#failed++;
    this.#failure = line;
  }

  /** A key waits for this. */
  waits(what: string): void {
    this.#waiting.set(what, (this.#waiting.get(what) ?? 0) + 1);
  }

  /** Ends a round: says what is news, once in a while, and that nothing is left. */
  tell(left: number): void {
    const reasons = [...this.#waiting].map(([what, count]) => `${count} wait for ${what}`);
    const wait = [...this.#waiting.keys()].sort().join();
    if (this.#failed > 0) reasons.push(`${this.#failed} failed, such as ${this.#failure}`);
    const state = `${wait} ${this.#failure}`;
    const isNews = this.#healed > 0 || (left > 0 && state !== this.#said);
    const isTime = (left === 0 && this.#saidLeft > 0) || nowMs() > this.#saidMs + limits.careLogMs;
    if (isNews && isTime) {
      const text = reasons.length > 0 ? `: ${reasons.slice(0, 3).join("; ")}` : "";
      const say = this.#failed > 0 ? warn : log;
      say(`heal: ${counted(this.#healed, "key")} healed, ${left} left${text}`);
      this.#healed = 0;
      this.#said = state;
      this.#saidLeft = left;
      this.#saidMs = nowMs();
    }
    if (left === 0) this.#said = "";
    this.#failed = 0;
    this.#failure = "";
    this.#waiting.clear();
  }
}
