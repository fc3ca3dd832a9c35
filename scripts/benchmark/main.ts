// Owns the process of the bench: options, signals, exit codes. 0: all was measured, and every answer was as it should be;
// 1: not so; 2: wrong options. Whether a figure is as wanted is for people to judge: the machine may be to blame.
import { chmodSync, existsSync, mkdtempSync, statfsSync } from "node:fs";
import { freemem, tmpdir } from "node:os";
import { join } from "node:path";
import { CHECKOUT } from "../../test/support/volume";
import { type Bench } from "./compare";
import { BenchError, demand } from "./failure";
import { type Options, readOptions, sizesOf, usage } from "./options";
import { Program } from "./programs";
import { rowsOf, tableOf, writeReport } from "./report";
import { absent, get, probe } from "./workloads/get";
import { index } from "./workloads/index";
import { list } from "./workloads/list";
import { postgres } from "./workloads/postgres";
import { largeMoves, smallMoves } from "./workloads/rebalance";
import { folders, rebuild } from "./workloads/rebuild";
import { rounds } from "./workloads/rounds";
import { s3 } from "./workloads/s3";
import { s3Large } from "./workloads/s3-large";
import { type Scale, measureScale, textOf } from "./workloads/scale";
import { upload, uploadMany } from "./workloads/upload";

const workloads: Record<string, (bench: Bench) => Promise<void>> = {
  ...{ absent, get, probe, rounds, upload, uploads: uploadMany, list, rebuild, folders },
  ...{ rebalance: smallMoves, "rebalance-large": largeMoves, index, s3, "s3-large": s3Large, postgres },
};
const names = Object.keys(workloads);

try {
  process.exit(await main(process.argv.slice(2)));
} catch (error) {
  console.error(`bench: ${messageOf(error)}`);
  process.exit(error instanceof BenchError ? 2 : 1);
}

async function main(args: string[]): Promise<number> {
  const options = readOptions(args);
  if (options.help) {
    console.log(usage.replace("%NAMES%", names.join(", ")).trimEnd());
    return 0;
  }
  const unknown = options.only?.find((name) => !names.includes(name));
  demand(unknown === undefined, `there is no workload ${unknown}: see scripts/bench --help`);
  const ours = new Program("mkv", process.env["MKV"] ?? join(CHECKOUT, "mkv"));
  const programs = [ours, ...options.against.map(Program.named)];
  const twin = programs.find(({ name }, i) => programs.some((other, j) => j < i && other.name === name));
  demand(!twin, `two programs are called ${twin?.name}: give them names, as in --against NAME:PATH`);
  stayBelow(makeHome(options));
  if (options.keep === undefined) return await runAll(options, programs);
  const found: Scale[] = [];
  for await (const one of measureScale(ours, options.keep, options)) {
    found.push(one);
    console.log(`\n${textOf(one)}`);
    writeReport(options.out, { scale: found }); // After each: they take long.
  }
  return 0;
}

async function runAll(options: Options, programs: readonly Program[]): Promise<number> {
  const bench: Bench = { sizes: sizesOf(options), programs, rows: [] };
  const failures: string[] = [];
  for (const name of names.filter((name) => options.only?.includes(name) ?? true)) {
    try {
      await workloads[name]!(bench);
    } catch (error) {
      failures.push(`${name}: ${messageOf(error)}`);
      console.log(failures.at(-1));
    }
  }
  if (bench.rows.length > 0) console.log(`\n${tableOf(bench.rows, programs[0]!.name)}\n`);
  writeReport(options.out, { size: options.size, sizes: bench.sizes, rows: rowsOf(bench.rows), failures });
  for (const failure of failures) console.error(`bench: ${failure}`);
  return failures.length === 0 ? 0 : 1;
}

/** A folder for all of it. In memory, unless there is too little: what is measured is mkv, not the disk of this machine. */
function makeHome(options: Options): string {
  const { roomBytes } = sizesOf(options);
  const free = (folder: string) => statfsSync(folder).bavail * statfsSync(folder).bsize;
  const memory = "/dev/shm";
  const fits = existsSync(memory) && Math.min(free(memory), freemem()) > 1.5 * roomBytes;
  const parent = process.env["TMPDIR"] === undefined && fits ? memory : tmpdir();
  const [has, needs] = [free(parent), roomBytes].map((bytes) => (bytes / 1e9).toFixed(1));
  demand(
    free(parent) >= roomBytes,
    `${has} GB are free in ${parent}, ${needs} are needed: set TMPDIR to another folder`,
  );
  return mkdtempSync(join(parent, "mkv-bench-"));
}

/** Whatever is started from now on has its folders in this one, which goes with the process, however that ends. */
function stayBelow(home: string): void {
  chmodSync(home, 0o755); // Started by root, nginx works as another user.
  process.env["TMPDIR"] = home;
  process.on("exit", () => {
    for (let tries = 0; tries < 5 && existsSync(home); tries++) Bun.spawnSync(["rm", "-rf", "--", home]); // Some still die.
  });
  for (const [signal, code] of Object.entries({ SIGINT: 130, SIGTERM: 143, SIGHUP: 129 })) {
    process.once(signal, () => {
      console.error("bench: stopping");
      process.exit(code);
    });
  }
}

function messageOf(error: unknown): string {
  return error instanceof BenchError ? error.message : ((error as Error).stack ?? String(error));
}
