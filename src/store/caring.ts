// Owns what all work shares that heals in the background: its store, its pace, its end, what is counted of it.
import { counter } from "../metrics";
import { type Turns } from "../turns";
import { type HealLog } from "./heal-log";
import { type Pace } from "./pace";
import { type Store } from "./store";

/** Work that heals in the background. */
export type Care = {
  readonly store: Store;
  readonly stop: AbortSignal;
  /** What all keys wait for, if nothing may be healed. */
  readonly off: string | undefined;
  /** Keys that are being healed. */
  readonly turns: Turns;
  /** Bytes that are copied, and keys that are looked at. */
  readonly bytes: Pace;
  readonly keys: Pace;
  readonly log: HealLog;
};

export const healed = counter("mkv_healed_total", "Keys that were brought home or got a copy back.");
export const failures = counter(
  "mkv_heal_failures_total",
  "Keys that could not be healed, each time that it was tried.",
);
