// Owns what is told of the results: a table for people, bench.json for programs. Neither names a folder of the machine.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";
import pkg from "../../package.json";
import { type Row, figure } from "./compare";
import { type Result, cpuUsOf, rateOf, shown } from "./measure";
import { upTo } from "./values";

const headings = ["", "median", "CPU each", "peak", "speed : yardstick", "CPU : yardstick"];

/** The median of some numbers, with the least and the most of them. */
type Spread = { readonly median: number; readonly least: number; readonly most: number };

/** The rows as a table of text, a paragraph each. Behind a ratio are the least and the most of the runs. */
export function tableOf(rows: readonly Row[], ours: string): string {
  const found = rows.map(({ title, unit, wanted, sides }) => ({
    title: `${title}${wanted ? `   (wanted: ${wanted})` : ""}`,
    lines: sides.map((side, i) => {
      const { rate, cpuUs, ratios } = figuresOf(sides, i);
      const [yardstick, own] = [ratios[sides[0]!.name], figuresOf(sides, 1).ratios[side.name]];
      const cells = [side.name, figure({ unit }, rate!.median), duration(cpuUs?.median), megabytes(side.peakBytes)];
      return [...cells, ratio(yardstick?.speed), ratio(yardstick?.cpu), i > 1 ? ratio(own?.speed) : ""];
    }),
  }));
  const all = [[...headings, `speed of ${ours} : this`], ...found.flatMap(({ lines }) => lines)];
  const columns = upTo(all[0]!.length).filter((i) => all.slice(1).some((line) => line[i] !== ""));
  const widths = all[0]!.map((_, i) => Math.max(...all.map((line) => line[i]!.length)));
  const lineOf = (line: readonly string[]) => {
    const padded = columns.map((i) => (i === 0 ? line[i]!.padEnd(widths[i]!) : line[i]!.padStart(widths[i]!)));
    return `  ${padded.join("   ")}`.trimEnd();
  };
  return [lineOf(all[0]!), ...found.map(({ title, lines }) => [title, ...lines.map(lineOf)].join("\n"))].join("\n\n");
}

/** Rows as bench.json has them: medians, and ratios of each side to each other. */
export function rowsOf(rows: readonly Row[]) {
  return rows.map((row) => ({ ...row, sides: row.sides.map((side, i) => ({ ...side, ...figuresOf(row.sides, i) })) }));
}

/** Writes bench.json into this folder. */
export function writeReport(folder: string, results: Record<string, unknown>): void {
  mkdirSync(folder, { recursive: true });
  const machine = {
    ...{
      cpu: cpus()[0]?.model.trim(),
      cores: cpus().length,
      memoryBytes: totalmem(),
      load: loadavg(),
      kernel: release(),
    },
    ...{ bun: Bun.version, nginx: /nginx\/([\d.]+)/.exec(Bun.spawnSync(["nginx", "-v"]).stderr.toString())?.[1] },
  };
  const report = { mkv: pkg.version, date: new Date().toISOString(), machine, ...results };
  writeFileSync(join(folder, "bench.json"), `${JSON.stringify(report, null, 2)}\n`);
}

function figuresOf(sides: Row["sides"], number: number) {
  const own = sides[number]!.results;
  const to = (results: readonly Result[]) => {
    const ratios = (of: (result: Result) => number | undefined) =>
      spread(own.map((one, run) => divided(of(one), of(results[run]!))));
    return { speed: ratios(rateOf), cpu: ratios(cpuUsOf) };
  };
  const ratios = Object.fromEntries(
    sides.filter((_, i) => i !== number).map(({ name, results }) => [name, to(results)]),
  );
  return { rate: spread(own.map(rateOf)), cpuUs: spread(own.map(cpuUsOf)), ratios: ratios as Partial<typeof ratios> };
}

function divided(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || !b ? undefined : a / b;
}

/** Undefined if one of them is not known. */
function spread(values: readonly (number | undefined)[]): Spread | undefined {
  const sorted = values.filter((value) => value !== undefined).toSorted((a, b) => a - b);
  if (sorted.length < values.length || sorted.length === 0) return undefined;
  const middle = (sorted.length - 1) / 2;
  const median = (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
  return { median, least: sorted[0]!, most: sorted.at(-1)! };
}

function ratio(spread: Spread | undefined): string {
  return spread ? `${spread.median.toFixed(2)} (${spread.least.toFixed(2)}-${spread.most.toFixed(2)})` : "";
}

function duration(us: number | undefined): string {
  if (us === undefined) return "";
  return us >= 1e6 ? `${shown(us / 1e6)} s` : us >= 1e4 ? `${shown(us / 1e3)} ms` : `${shown(us)} µs`;
}

function megabytes(bytes: number | undefined): string {
  return bytes ? `${shown(bytes / 1e6)} MB` : "";
}
