// Owns what a measurement is: so much work, its time, and what it cost.
import { type RunningProcess } from "../../test/support/process";

/** So many requests, values or keys were done in this time. */
export type Work = { readonly items: number; readonly seconds: number };

/** The same with what it cost the process that did it. */
export type Result = Work & { readonly cpuSeconds?: number };

/** One side of a comparison. */
export type Side = {
  readonly name: string;
  readonly measure: () => Promise<Result>;
  /** Asked after all runs. */
  readonly peakBytes?: () => number;
};

/** Work, with the CPU that this process took for it. */
export async function metered(process: RunningProcess, work: () => Promise<Work>): Promise<Result> {
  const before = process.cpuSeconds();
  const done = await work();
  return { ...done, cpuSeconds: process.cpuSeconds() - before };
}

/** So many items, timed. */
export async function timed(items: number, work: () => Promise<unknown>): Promise<Work> {
  const startMs = performance.now();
  await work();
  return { items, seconds: (performance.now() - startMs) / 1000 };
}

export function rateOf({ items, seconds }: Work): number {
  return items / seconds;
}

/** CPU an item; undefined where it was not measured. */
export function cpuUsOf({ items, cpuSeconds }: Result): number | undefined {
  return cpuSeconds === undefined ? undefined : (cpuSeconds * 1e6) / items;
}

/** A number with as many digits as it deserves. */
export function shown(number: number): string {
  const digits = Math.abs(number) >= 100 ? 0 : Math.abs(number) >= 10 ? 1 : 2;
  return number.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
