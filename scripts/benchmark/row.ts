// Owns a result: what one program did at one workload, and what its yardstick did in the same minutes.
import { type Memory } from "./children";

/** A line of the table. */
export type Row = {
  readonly workload: string;
  readonly title: string;
  readonly program: string;
  readonly unit: "req/s" | "rounds/s" | "files/s" | "values/s" | "s" | "ms";
  readonly yardstick: { readonly title: string; readonly values: readonly number[] };
  /** One of each run. */
  readonly values: readonly number[];
  /** The ratio to the yardstick that is wanted: at least so much of a rate, at most so much of a time. */
  readonly target: number;
  readonly peakTargetBytes?: number | undefined;
  /** Of a master, when all was over; of a job, its peak. */
  readonly memory?: (Pick<Memory, "peakBytes"> & Partial<Memory>) | undefined;
  /** Why there are no values. */
  readonly skipped?: string | undefined;
};

/** Whether less is better. */
export function isTime({ unit }: Row): boolean {
  return unit === "s" || unit === "ms";
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
}

/** Median of the program to median of the yardstick; undefined of what was skipped. */
export function ratioOf({ values, yardstick }: Row): number | undefined {
  return values.length === 0 ? undefined : median(values) / median(yardstick.values);
}

/** How fast in comparison to the yardstick, whatever the unit: 1 as fast, more is faster. */
export function speedOf(row: Row): number | undefined {
  const ratio = ratioOf(row);
  return ratio === undefined ? undefined : isTime(row) ? 1 / ratio : ratio;
}

/** The speed that the target stands for. */
export function wantedSpeedOf(row: Row): number {
  return isTime(row) ? 1 / row.target : row.target;
}

/** Whether speed and memory are what is wanted; undefined of what was skipped. */
export function isMet(row: Row): boolean | undefined {
  const speed = speedOf(row);
  if (speed === undefined) return undefined;
  const peakBytes = row.memory?.peakBytes ?? 0;
  return speed >= wantedSpeedOf(row) && peakBytes <= (row.peakTargetBytes ?? Number.POSITIVE_INFINITY);
}
