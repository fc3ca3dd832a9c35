// Owns the comparison: all sides in turn, again and again. What counts are medians, and the ratios within each turn.
import { type RunningProcess } from "../../test/support/process";
import { type Sizes } from "./options";
import { type Program } from "./programs";

/** What all workloads share. */
export type Bench = {
  readonly sizes: Sizes;
  /** Our own first. */
  readonly programs: readonly Program[];
  /** Put before all titles: of a comparison of the programs with the first of them, without a yardstick. */
  readonly beside?: string;
  readonly rows: Row[];
};

/** So many requests, values or keys were done in this time. */
export type Work = { readonly items: number; readonly seconds: number };

/** The same with what it cost the process that did it. */
export type Result = Work & { readonly cpuSeconds?: number };

/** What is compared. A unit of time is shown for each item, others are items a second. */
export type Plan = {
  readonly title: string;
  readonly unit: "req/s" | "rounds/s" | "values/s" | "files/s" | "keys/s" | "s" | "ms";
  /** As a person reads it. */
  readonly wanted?: string;
};

/** One side of a comparison. */
export type Side = {
  readonly name: string;
  readonly measure: () => Promise<Result>;
  /** Asked after all runs. */
  readonly peakBytes?: () => number;
};

/** What all runs of each side gave. The first is the yardstick. */
export type Row = Plan & {
  readonly sides: readonly {
    readonly name: string;
    readonly results: readonly Result[];
    readonly peakBytes?: number;
  }[];
};

/**
 * Measures A B, A B, A B; the first side is the yardstick. One such turn comes first that does not count: whoever is the
 * first to use memory or a part of the disk pays for all that come later.
 */
export async function compare(bench: Bench, plan: Plan, all: readonly Side[]): Promise<void> {
  const { title, unit, wanted } = plan;
  const shared = bench.beside ? { title: bench.beside + title, unit } : { title, unit, ...(wanted && { wanted }) };
  const sides = (bench.beside ? all.slice(1) : all).map((side) => ({ ...side, results: [] as Result[] }));
  for (let run = 1 - bench.sizes.warmUps; run <= bench.sizes.runs; run++) {
    const said: string[] = [];
    for (const { name, measure, results } of sides) {
      const result = await measure();
      said.push(`${name} ${figure(plan, rateOf(result))}`);
      if (run > 0) results.push(result);
    }
    console.log(`${shared.title}, ${run > 0 ? `run ${run}` : "warming up"}: ${said.join(", ")}`);
  }
  const ended = sides.map(({ name, results, peakBytes }) => ({
    name,
    results,
    ...(peakBytes && { peakBytes: peakBytes() }),
  }));
  bench.rows.push({ ...shared, sides: ended });
}

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

/** A rate as its plan shows it. */
export function figure({ unit }: Pick<Plan, "unit">, rate: number): string {
  const value = unit === "s" ? 1 / rate : unit === "ms" ? 1000 / rate : rate;
  return `${shown(value)} ${unit}`;
}

/** A number with as many digits as it deserves. */
export function shown(number: number): string {
  const digits = Math.abs(number) >= 100 ? 0 : Math.abs(number) >= 10 ? 1 : 2;
  return number.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
