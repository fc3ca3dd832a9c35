// Owns the command line of the bench, and how much each workload does.
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { BenchError, demand } from "./failure";

/** What to run, and how much of it. */
export type Options = ReturnType<typeof readOptions>;

export const usage = `Usage: scripts/bench [options]

Runs each workload several times, in turn with its yardstick: what the parts do without mkv, in the same minutes on the
same machine. Prints medians, CPU of the master and ratios, and writes bench.json. The binary is ./mkv, or what the
variable MKV names. Clusters live below TMPDIR, or in memory (/dev/shm) if there is room, and go away in the end.

  --only NAME[,NAME]     these workloads alone: %NAMES%
  --against BINARY[,..]  the same on other masters as well, as in go:./minikeyvalue; each gets only flags that its help names
  --thorough             more runs, larger sizes: an hour instead of ten minutes
  --tiny                 a little of everything: shows that it works, measures nothing
  --out DIR              folder of the results (default: bench-results)

  --scale N[,N]          instead of all that: masters over LevelDB with so many million keys, as in 1,20,100
  --scale-postgres N     the same over PostgreSQL
  --keep DIR             where their indexes are made, and stay to be used again: 150 bytes a key, PostgreSQL 400 more
`;

/** The options in these arguments. Throws BenchError for what is none. */
export function readOptions(args: string[]) {
  const [text, flag] = [{ type: "string" }, { type: "boolean" }] as const;
  const texts = { only: text, against: text, scale: text, "scale-postgres": text, keep: text, out: text };
  const values = parsed(args, { ...texts, thorough: flag, tiny: flag, help: { ...flag, short: "h" } });
  const scale = { level: keysIn(values.scale), postgres: keysIn(values["scale-postgres"]) };
  const isScaled = scale.level.length + scale.postgres.length > 0;
  demand((values.keep !== undefined) === isScaled, "--scale and --keep DIR, a folder on a disk with room, go together");
  return {
    ...{ scale, only: listed(values.only), against: listed(values.against) ?? [], help: values.help === true },
    size: values.tiny ? ("tiny" as const) : values.thorough ? ("thorough" as const) : ("usual" as const),
    out: resolve(values.out ?? "bench-results"),
    /** Folder where large indexes stay; undefined if they are not what is to be measured. */
    keep: values.keep && resolve(values.keep),
  };
}

function parsed<T extends NonNullable<Parameters<typeof parseArgs>[0]>["options"]>(args: string[], options: T) {
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    throw new BenchError(`${(error as Error).message.split(". ")[0]}: see scripts/bench --help`);
  }
}

function listed(text: string | undefined): string[] | undefined {
  return text?.split(",").filter((part) => part !== "");
}

function keysIn(text: string | undefined): number[] {
  return (listed(text) ?? []).map((part) => {
    demand(/^(?=.*[1-9])\d{1,4}(\.\d+)?$/.test(part), `--scale is millions of keys, not "${part}"`);
    return Math.round(Number(part) * 1e6);
  });
}

type PerSize = readonly [tiny: number, usual: number, thorough: number];

const sizes = {
  runs: [1, 3, 5],
  warmUps: [0, 1, 1], // Turns before those that count.
  seconds: [1, 2, 5], // Length of a run that goes by the clock.
  roomBytes: [1e9, 8e9, 16e9], // What is needed below TMPDIR.
  keys: [1_000, 20_000, 100_000], // With values that GETs ask for.
  manyVolumes: [10, 100, 100],
  uploadBytes: [4e6, 1e9, 1e9], // Of the one large value.
  uploadsBytes: [1e6, 100e6, 100e6], // Of each of 16.
  rebuildKeys: [500, 50_000, 200_000],
  fullFolders: [4, 50, 50],
  filesOfFolder: [20, 400, 2_000],
  smallMoves: [50, 5_000, 20_000],
  largeMoves: [4, 80, 200],
  listKeys: [10_000, 1_000_000, 1_000_000],
  postgresKeys: [10_000, 200_000, 1_000_000], // Of lists out of a database.
  pages: [20, 100, 300],
  fullLists: [1, 0, 1],
  indexKeys: [50_000, 1_000_000, 20_000_000],
  s3Puts: [100, 2_000, 10_000],
  s3Bytes: [4e6, 100e6, 100e6], // Of a large value, of which there are so many; and 20 times as many of 1 MB.
  s3Values: [1, 5, 10],
  s3Keys: [2_000, 20_000, 100_000], // Of lists.
} satisfies Record<string, PerSize>;

/** How much each workload does. */
export type Sizes = Readonly<Record<keyof typeof sizes, number>>;

export function sizesOf({ size }: Pick<Options, "size">): Sizes {
  const at = ["tiny", "usual", "thorough"].indexOf(size);
  return Object.fromEntries(Object.entries(sizes).map(([name, values]) => [name, values[at]])) as Sizes;
}
