// Owns what all workloads share: the programs, the sizes, the folder, and taking turns.
import { type Contestant, type Master } from "./contestant";
import { type Home } from "./home";
import { type Row } from "./row";
import { type Sizes } from "./sizes";
import { type Stock } from "./stock";
import { shown } from "./table";

/** What a workload has to work with. */
export type Bench = {
  readonly home: Home;
  readonly sizes: Sizes;
  readonly contestants: readonly Contestant[];
  /** Runs that were asked for; undefined for the workload's own number. */
  readonly runs: number | undefined;
  readonly stock: Stock;
  say(line: string): void;
};

/** A thing that is measured: its rows have these names. */
export type Workload = {
  /** What `--only` calls it. */
  readonly name: string;
  /** Most that it has on the disk at once. */
  room(bench: Bench): { bytes: number; files: number };
  run(bench: Bench): Promise<Row[]>;
};

/** One side of a comparison. `measure` gives the result of one run, in the unit of the row. */
export type Entrant = {
  readonly program: string;
  readonly measure: () => Promise<number>;
  /** Asked after all runs. */
  readonly memory?: () => Row["memory"];
};

/** What is compared, as its row says it. */
export type Comparison = Pick<Row, "workload" | "title" | "unit" | "target" | "peakTargetBytes"> & {
  readonly runs: number;
  readonly yardstick: { readonly title: string; readonly measure: () => Promise<number> };
  readonly entrants: readonly Entrant[];
};

/**
 * Measures the yardstick and each entrant in turn, again and again: A B, A B, A B. One such turn comes first that does
 * not count: whoever is the first to use memory or a part of the disk pays for all that come later.
 */
export async function compare(bench: Bench, comparison: Comparison): Promise<Row[]> {
  const { yardstick, entrants, workload, title, unit, target, peakTargetBytes } = comparison;
  const sides = [{ program: yardstick.title, measure: yardstick.measure }, ...entrants];
  const results = sides.map((): number[] => []);
  const runs = bench.runs ?? comparison.runs;
  for (let run = bench.sizes.warmUps > 0 ? 0 : 1; run <= runs; run++) {
    const said: string[] = [];
    for (const [i, { program, measure }] of sides.entries()) {
      const result = await measure();
      said.push(`${program} ${shown(result)}`);
      if (run > 0) results[i]!.push(result);
    }
    bench.say(`${title}, ${run > 0 ? `run ${run}` : "warming up"}: ${said.join(", ")} ${unit}`);
  }
  if (entrants.some(({ memory }) => memory)) await Bun.sleep(bench.sizes.calmMs);
  return entrants.map(({ program, memory }, i) => ({
    ...{ workload, title, program, unit, target, peakTargetBytes },
    yardstick: { title: yardstick.title, values: results[0]! },
    values: results[i + 1]!,
    memory: memory?.(),
  }));
}

/** Rows of what a program cannot do. */
export function skippedRow(
  comparison: Omit<Comparison, "runs" | "yardstick" | "entrants">,
  program: string,
  skipped: string,
): Row {
  return { ...comparison, program, skipped, values: [], yardstick: { title: "", values: [] } };
}

/** A master as the side of a comparison. */
export function entrant(master: Master, measure: () => Promise<number>): Entrant {
  return { program: master.contestant.name, measure, memory: () => master.memory };
}

/** Starts a master of each contestant, and ends them all with what it returns. */
export async function serveAll(
  contestants: readonly Contestant[],
  serve: (contestant: Contestant) => Promise<Master>,
): Promise<AsyncDisposable & { readonly masters: readonly Master[] }> {
  const masters: Master[] = [];
  const dispose = async () => {
    for (const master of masters) await master[Symbol.asyncDispose]();
  };
  try {
    for (const contestant of contestants) masters.push(await serve(contestant));
  } catch (error) {
    await dispose();
    throw error;
  }
  return { masters, [Symbol.asyncDispose]: dispose };
}
