// Owns the command line of the bench.
import { resolve } from "node:path";
import { BenchError } from "./failure";

/** What to run, and how much of it. */
export type Options = {
  /** Names of workloads; undefined for all. */
  readonly only: readonly string[] | undefined;
  /** Runs of each side; undefined for each workload's own number. */
  readonly runs: number | undefined;
  /** Length of a run that is measured by time; undefined for the usual one. */
  readonly seconds: number | undefined;
  readonly scale: number;
  readonly tiny: boolean;
  /** Path of another master's binary. */
  readonly against: string | undefined;
  /** Folder of the results. */
  readonly out: string;
  /** Flags for our own master. */
  readonly flags: readonly string[];
  readonly help: boolean;
};

export const usage = `Usage: scripts/bench [options]

Runs each workload several times, in turn with its yardstick: what the parts do without mkv, in the same minutes on the
same machine. Prints medians and ratios, and writes them to bench.json and bench.svg. The binary is ./mkv, or what the
variable MKV names; clusters live in a folder below TMPDIR, which goes away in the end.

  --only NAME[,NAME]  these workloads alone: %NAMES%
  --runs N            runs of each side (default: 5, and 3 of those that take long)
  --seconds N         length of a run that goes by the clock (default: 5)
  --scale F           so many times the keys and bytes, as in 0.1
  --tiny              a little of everything in less than a minute: shows that it works, measures nothing
  --against BINARY    the same workloads on another master that takes the same flags
  --flags "FLAGS"     more flags for mkv's own master, as in "-threads 1"
  --out DIR           folder of the results (default: bench-results)
`;

/** The options in these arguments. Throws BenchError for what is none. */
export function readOptions(argv: readonly string[]): Options {
  const texts = new Map<string, string>();
  const rest = [...argv];
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    const [, name = "", value] = /^--?([a-z]+)(?:=(.*))?$/s.exec(word) ?? [];
    if (["help", "h", "tiny"].includes(name)) texts.set(name, "true");
    else if (!names.includes(name)) throw new BenchError(`unknown option ${word}: see scripts/bench --help`);
    else texts.set(name, value ?? rest.shift() ?? fail(name, "needs a value"));
  }
  return {
    only: texts.get("only")?.split(","),
    runs: readNumber(texts, "runs", /^[1-9]\d{0,2}$/),
    seconds: readNumber(texts, "seconds", /^[1-9]\d{0,3}$/),
    scale: readNumber(texts, "scale", /^(?=.*[1-9])\d{1,3}(\.\d+)?$/) ?? 1,
    tiny: texts.has("tiny"),
    against: resolved(texts.get("against")),
    out: resolve(texts.get("out") ?? "bench-results"),
    flags: (texts.get("flags") ?? "").split(/\s+/).filter((flag) => flag !== ""),
    help: texts.has("help") || texts.has("h"),
  };
}

const names = ["only", "runs", "seconds", "scale", "against", "out", "flags"];

function readNumber(texts: ReadonlyMap<string, string>, name: string, pattern: RegExp): number | undefined {
  const text = texts.get(name);
  if (text === undefined) return undefined;
  return pattern.test(text) ? Number(text) : fail(name, `is a number above zero, not "${text}"`);
}

function resolved(path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(path);
}

function fail(name: string, what: string): never {
  throw new BenchError(`--${name} ${what}`);
}
