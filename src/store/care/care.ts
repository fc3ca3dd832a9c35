// Owns what all work shares that heals in the background: its store, its pace, its end, and what is counted and said of it.
import { nowMs } from "../../clock";
import { reasonOf } from "../../errors";
import { type Key, showKey } from "../../format/key";
import { limits } from "../../limits";
import { counted, log, warn } from "../../log";
import { counter, gauge } from "../../metrics";
import { type Turns } from "../../turns";
import { type HintedKey } from "../hints";
import { type Pace } from "../pace";
import { type Store } from "../store";

/** Work that heals in the background. */
export type Care = {
  readonly store: Store;
  readonly stop: AbortSignal;
  /** What all keys wait for, if nothing may be healed. */
  readonly blockedBy: string | undefined;
  /** Keys that are being healed. */
  readonly turns: Turns;
  /** Bytes that are copied, and keys that are looked at. */
  readonly bytes: Pace;
  readonly keys: Pace;
  /** Disks that were adopted, and are not filled yet. */
  readonly unfilled: Set<string>;
  readonly retries: Retries;
  readonly log: HealLog;
};

const healed = counter("mkv_healed_total", "Keys that were brought home or got a copy back.");
const failures = counter("mkv_heal_failures_total", "Keys that could not be healed, each time that it was tried.");

const failing = gauge("mkv_keys_failing", "Keys that could not be healed when it was tried last.");

/** Keys that could not be healed, though nothing that is known stood in the way: each is tried again ever more rarely. */
export class Retries {
  #now = new Map<string, Retry>();
  #next = new Map<string, Retry>();

  /** Whether a key may be tried in this round. */
  isDue(hinted: HintedKey): boolean {
    const retry = this.#now.get(nameOf(hinted));
    if (retry === undefined || retry.atMs <= nowMs()) return true;
    this.#next.set(nameOf(hinted), retry);
    return false;
  }

  failed(hinted: HintedKey): void {
    const { pauseMs } = this.#now.get(nameOf(hinted)) ?? { pauseMs: limits.healPauseMs };
    const retry = { atMs: nowMs() + pauseMs, pauseMs: Math.min(2 * pauseMs, limits.healAgainMs) };
    if (this.#next.size < limits.retries) this.#next.set(nameOf(hinted), retry);
  }

  /** Forgets what has not been met in this round. */
  endRound(): void {
    this.#now = this.#next;
    this.#next = new Map();
    failing.set(this.#now.size);
  }

  /** Has every key be tried at once: something has changed. */
  clear(): void {
    this.#now.clear();
  }
}

type Retry = { readonly atMs: number; readonly pauseMs: number };

function nameOf({ key, hint }: HintedKey): string {
  return `${hint.why} ${key.toHex()}`;
}

/**
 * What was healed since it was said last, and what is left after the round that goes on: sums, and one reason each of what
 * fails or waits, so that no store is too large for it.
 */
export class HealLog {
  #healed = 0;
  #failed = 0;
  #failure = "";
  readonly #waiting = new Map<string, number>();
  #said = "";
  #saidLeft = 0;
  #saidMs = Number.NEGATIVE_INFINITY;

  healed(): void {
    healed.add();
    this.#healed++;
  }

  failed(key: Key, error: unknown): void {
    failures.add();
    this.#failed++;
    this.#failure = `${JSON.stringify(showKey(key))}: ${reasonOf(error)}`;
  }

  waits(what: string): void {
    this.#waiting.set(what, (this.#waiting.get(what) ?? 0) + 1);
  }

  /** Ends a round: says what is news, once in a while, and that nothing is left. */
  tell(left: number, unfilled: ReadonlySet<string>): void {
    const reasons = [...this.#waiting].map(([what, count]) => `${count} wait for ${what}`);
    for (const place of unfilled) reasons.push(`${place} is not filled yet`);
    if (this.#failed > 0) reasons.push(`${this.#failed} failed, such as ${this.#failure}`);
    const state = `${[...this.#waiting.keys()].sort().join()} ${this.#failure}`;
    const isNews = this.#healed > 0 || (left > 0 && state !== this.#said);
    const isTime = (left === 0 && this.#saidLeft > 0) || nowMs() > this.#saidMs + limits.careLogMs;
    if (isNews && isTime) {
      const text = reasons.length > 0 ? `: ${reasons.slice(0, 3).join("; ")}` : "";
      const say = this.#failed > 0 ? warn : log;
      const rest = left > 0 || unfilled.size === 0 ? `, ${left} left` : "";
      say(`heal: ${counted(this.#healed, "key")} healed${rest}${text}`);
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
