// Owns the process of the bench: options, turns, signals, exit codes. 0: all was measured, and every answer was as it
// should be; 1: not so; 2: wrong options. Missed targets are told, but the machine may be to blame.
import { statSync } from "node:fs";
import { join } from "node:path";
import { type Bench, type Workload } from "./bench";
import { endAll } from "./children";
import { root } from "./cluster";
import { contestantsOf } from "./contestant";
import { BenchError, demand } from "./failure";
import { Home } from "./home";
import { type Options, readOptions, usage } from "./options";
import { writeReport } from "./report";
import { type Row } from "./row";
import { sizesOf } from "./sizes";
import { Stock } from "./stock";
import { tableOf } from "./table";
import { absent, get, probe } from "./workloads/get";
import { index } from "./workloads/index";
import { list, page } from "./workloads/list";
import { largeMoves, smallMoves } from "./workloads/rebalance";
import { folders, rebuild } from "./workloads/rebuild";
import { rounds } from "./workloads/rounds";
import { upload, uploads } from "./workloads/upload";

const workloads: readonly Workload[] = [
  ...[absent, get, probe, rounds, upload, uploads],
  ...[rebuild, folders, smallMoves, largeMoves, list, page, index],
];

/** Under way once a signal has come. */
let stopping: Promise<never> | undefined;

try {
  process.exit(await main());
} catch (error) {
  console.error(`bench: ${error instanceof BenchError ? error.message : (error as Error).stack}`);
  process.exit(error instanceof BenchError ? 2 : 1);
}

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    console.log(usage.replace("%NAMES%", workloads.map(({ name }) => name).join(", ")).trimEnd());
    return 0;
  }
  const chosen = choose(options.only);
  const contestants = contestantsOf(options);
  warnOfAge(contestants[0]!.binary);
  const sizes = sizesOf(options);
  using home = new Home();
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
    ["SIGHUP", 129],
  ] as const) {
    process.once(signal, () => (stopping = stop(home, code)));
  }
  await using stock = new Stock(home, sizes);
  const bench: Bench = { home, sizes, contestants, runs: runsOf(options), stock, say: (line) => console.log(line) };
  const { rows, failures } = await runAll(bench, chosen);
  await stopping;
  if (rows.length > 0) {
    console.log(`\n${tableOf(rows)}\n`);
    writeReport(options.out, rows, { options, sizes });
  }
  for (const failure of failures) console.error(`bench: ${failure}`);
  return failures.length === 0 ? 0 : 1;
}

async function runAll(bench: Bench, chosen: readonly Workload[]): Promise<{ rows: Row[]; failures: string[] }> {
  const rows: Row[] = [];
  const failures: string[] = [];
  for (const workload of chosen) {
    try {
      bench.home.demandRoom(workload.room(bench));
      rows.push(...(await workload.run(bench)));
    } catch (error) {
      await stopping; // Then the failure is no news.
      failures.push(`${workload.name}: ${error instanceof BenchError ? error.message : (error as Error).stack}`);
      bench.say(failures.at(-1)!);
    }
  }
  return { rows, failures };
}

async function stop(home: Home, code: number): Promise<never> {
  console.error("bench: stopping");
  await endAll();
  home[Symbol.dispose]();
  process.exit(code);
}

function choose(names: readonly string[] | undefined): readonly Workload[] {
  const unknown = names?.find((name) => !workloads.some((workload) => workload.name === name));
  demand(unknown === undefined, `there is no workload ${unknown}: see scripts/bench --help`);
  return names ? workloads.filter(({ name }) => names.includes(name)) : workloads;
}

function runsOf({ runs, tiny }: Options): number | undefined {
  return runs ?? (tiny ? 1 : undefined);
}

function warnOfAge(binary: string): void {
  const builtMs = statSync(binary).mtimeMs;
  const sources = [...new Bun.Glob("src/**/*.ts").scanSync({ cwd: root, absolute: true }), join(root, "volume")];
  if (sources.some((source) => statSync(source).mtimeMs > builtMs)) {
    console.error("bench: the binary is older than its source; bun run build makes a new one");
  }
}
