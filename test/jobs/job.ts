// Owns the running of jobs over a store of a test, and what a test then looks at: the index as files, the volumes as files.
import { expect } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { type Cluster } from "../support/cluster";
import { filesOn } from "../support/files";
import { graceFlags } from "../support/grace";
import { mkv, runMkv, type Outcome } from "../support/master";
import { pathOf, placedOn } from "../support/placement";
import { RunningProcess } from "../support/process";
import { recordsIn } from "../support/records";
import { md5Hex } from "../support/values";

export type Command = "rebuild" | "rebalance" | "verify" | "adopt";

export interface JobOptions {
  flags?: string[];
  /** What comes after the command. */
  words?: string[];
  /** Those of the cluster, unless named. */
  volumes?: string[];
  db?: string;
  /** URL of a master to work through, instead of on the index. */
  master?: string;
  env?: Record<string, string>;
  timeoutMs?: number;
}

export interface JobOutcome extends Outcome {
  /** The last line on stdout. */
  last: string;
  output: string;
}

/** Runs a job to its end. Whatever its exit code: it has not met a bug, and not shown a stack trace. */
export async function runJob(cluster: Cluster, command: Command, options: JobOptions = {}): Promise<JobOutcome> {
  const { env, timeoutMs = 40_000 } = options;
  const { stderr, ...outcome } = await runMkv(argumentsOf(cluster, command, options), { env, timeoutMs });
  const output = outcome.stdout + stderr;
  expect(output).not.toMatch(/a bug|^\s+at /m);
  return { ...outcome, stderr: withoutProgress(stderr), output, last: outcome.stdout.trimEnd().split("\n").at(-1)! };
}

/** What a job says without the lines of its progress, of which a busy machine has some. */
export function withoutProgress(stderr: string): string {
  return stderr.replace(/^(rebuild|rebalance|verify): [\d,]+ .*\n/gm, "");
}

/** Starts a job that the test ends, or whose end it waits for. */
export function startJob(cluster: Cluster, command: Command, options: JobOptions = {}): RunningProcess {
  return new RunningProcess({ command: mkv(argumentsOf(cluster, command, options)), env: options.env });
}

function argumentsOf(
  cluster: Cluster,
  command: Command,
  { flags = [], words = [], volumes = cluster.addresses, db = cluster.db, master }: JobOptions,
): string[] {
  const index = master === undefined ? ["-db", db] : ["-master", master];
  return [...index, "-volumes", volumes.join(","), ...graceFlags(flags), ...flags, command, ...words];
}

/** The index as text by key, in its order. */
export async function indexOf(db: string): Promise<Record<string, string>> {
  return Object.fromEntries((await recordsIn(db)).map(({ key, value }) => [key.toString("latin1"), value]));
}

/** A key as `indexOf` names it. */
export function named(key: string | Uint8Array): string {
  return Buffer.from(key as string).toString("latin1");
}

/** The MD5 of every file of an index, but for those that LevelDB writes anew whenever anybody opens it. */
export function bytesOf(db: string): Record<string, string> {
  const bytes = readdirSync(db)
    .filter((name) => !/^(LOG|LOG\.old|CURRENT|MANIFEST-\d+)$/.test(name))
    .map((name) => ({ name, content: readFileSync(join(db, name)) }));
  const kept = bytes.filter(({ name, content }) => content.length > 0 || !name.endsWith(".log"));
  return Object.fromEntries(kept.map(({ name, content }): [string, string] => [name, md5Hex(content)]).sort());
}

/** Where a rebuild lays an index that it makes, has made or replaces: `rebuild`, `new`, `old`. */
export function swapPlace(db: string, ending: "rebuild" | "new" | "old"): string {
  return join(dirname(db), `.${basename(db)}.${ending}`);
}

/** What lies beside an index, begins with its name, and is not to stay there. */
export function besides(db: string): string[] {
  const isLeft = (name: string) => name.startsWith(`${basename(db)}.`) || /\.(rebuild|new|old)$/.test(name);
  return readdirSync(dirname(db))
    .filter((name) => name.replace(/^\./, "").startsWith(`${basename(db)}.`) && isLeft(name))
    .sort();
}

/** A value, and the time of its files. */
export interface Stored {
  value: Uint8Array;
  mtimeMs: number;
}

/** MD5 and time of every value file on all volumes, by its name as records and paths make it. */
export function shelf(cluster: Cluster): Record<string, string> {
  const found: [string, string][] = cluster.volumes.flatMap(({ dir }, i) =>
    filesOn(dir).map(({ subvolume, path, md5, mtimeMs }): [string, string] => {
      const volume = `${cluster.addresses[i]!}${subvolume && `/${subvolume}`}`;
      return [volume + path, `${md5} ${Math.floor(mtimeMs)}`];
    }),
  );
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** What `shelf` gives when these values lie where they belong, each with its time, and nothing else anywhere. */
export function shelfOf(
  stored: ReadonlyMap<string | Uint8Array, Stored>,
  layout: { volumes: string[]; replicas?: number; subvolumes?: number },
): Record<string, string> {
  const wanted: [string, string][] = [...stored].flatMap(([key, { value, mtimeMs }]) =>
    placedOn(key, layout).map((volume): [string, string] => [
      volume + pathOf(key),
      `${md5Hex(value)} ${Math.floor(mtimeMs)}`,
    ]),
  );
  return Object.fromEntries(wanted.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Stores values and remembers the times that their files got. */
export async function storeAll(
  cluster: Cluster,
  values: Iterable<[key: string | Uint8Array, value: Uint8Array]>,
): Promise<Map<string | Uint8Array, Stored>> {
  const stored = new Map<string | Uint8Array, Stored>();
  for (const [key, value] of values) {
    await cluster.store(key as string, value);
    stored.set(key, { value, mtimeMs: cluster.filesOf(pathOf(key))[0]!.mtimeMs });
  }
  return stored;
}
