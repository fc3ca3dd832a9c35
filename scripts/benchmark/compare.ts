// Owns the comparison: all sides in turn, again and again. What counts are medians, and the ratios within each turn.
import { type Result, type Side, rateOf, shown } from "./measure";
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

/** What is compared. A unit of time is shown for each item, others are items a second. */
export type Plan = {
  readonly title: string;
  readonly unit: "req/s" | "rounds/s" | "values/s" | "files/s" | "keys/s" | "MB/s" | "s" | "ms";
  /** As a person reads it. */
  readonly wanted?: string;
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

/** A rate as its plan shows it. */
export function figure({ unit }: Pick<Plan, "unit">, rate: number): string {
  const value = unit === "s" ? 1 / rate : unit === "ms" ? 1000 / rate : rate;
  return `${shown(value)} ${unit}`;
}
