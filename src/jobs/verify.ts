// Owns the comparison of the index with the volumes: every record against its copies, then every file against the index.
// It reads both as streams; a repair is one request to the keeper for one key, so that it can be made while a master runs.
import { MkvError, reasonOf } from "../errors";
import { type Key, showKey } from "../format/key";
import { keyAt, pathOf } from "../format/path";
import { type Topology, place, sameVolumes } from "../format/placement";
import { type ValueRecord } from "../format/record";
import { type IndexEntry } from "../index/index";
import { limits } from "../limits";
import { isConfigured } from "../store/debts";
import { type Pace, md5Of } from "../store/copy";
import { type Depth, majority } from "../store/survey";
import { type VolumeAccess, head } from "../volumes/volume";
import { type FoundFile, files, folders, readable } from "./folders";
import { type Keeper } from "./keeper";
import { type JobProgress, forEach } from "./pool";
import { whenFree } from "./rebalance";

/** What was looked at, what is wrong by kind, and how much of that was repaired. */
export type VerifyCounts = Record<"keys" | "files" | Problem | "repaired", number>;

/** `missing`, `damaged` and `unknown` (its volume does not answer) count copies, `orphans` files, the others keys. */
export const problems = ["missing", "damaged", "unknown", "misplaced", "unfinished", "orphans"] as const;
type Problem = (typeof problems)[number];

/** What to compare, and what to do about differences. */
export type Verify = {
  readonly keeper: Keeper;
  readonly topology: Topology;
  readonly volumes: VolumeAccess;
  /** By `md5` all data is read. */
  readonly depth: Depth;
  readonly pace: Pace;
  readonly repair: boolean;
  /** Whether orphans older than an hour are removed. */
  readonly removeOrphans: boolean;
  readonly progress: JobProgress;
};

/** Compares index and volumes. Throws MkvError if the index cannot be read. */
export async function verify(job: Verify): Promise<VerifyCounts> {
  const counts: VerifyCounts = {
    keys: 0,
    files: 0,
    missing: 0,
    damaged: 0,
    unknown: 0,
    misplaced: 0,
    unfinished: 0,
    orphans: 0,
    repaired: 0,
  };
  let total = 0;
  let isForeign = false;
  for await (const page of job.keeper.scan({})) total += page.length;
  await forEach(entriesOf(job.keeper), limits.movesAtOnce, async (entry) => {
    if (entry.record.volumes.some((volume) => !isConfigured(job.topology, volume))) isForeign = true;
    await verifyKey(job, counts, entry);
    job.progress.at(++counts.keys, Math.max(total, counts.keys));
  });
  // With the wrong index, or other names for the volumes, every file would look like an orphan.
  const removeOrphans = job.removeOrphans && counts.keys > 0 && !isForeign;
  if (job.removeOrphans && !removeOrphans) job.progress.note("no orphan is removed: the index does not fit -volumes");
  try {
    await forEach(folders(job.volumes, job.topology), limits.foldersAtOnce, async (folder) => {
      for await (const file of files(job.volumes, folder)) await verifyFile({ ...job, removeOrphans }, counts, file);
    });
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    counts.unknown++;
    job.progress.note(`the files were not all compared: ${error.message}`);
  }
  return counts;
}

async function* entriesOf(keeper: Keeper): AsyncGenerator<IndexEntry> {
  for await (const page of keeper.scan({})) yield* page;
}

async function verifyKey(job: Verify, counts: VerifyCounts, { key, record }: IndexEntry): Promise<void> {
  const found = await inspect(job, key, record);
  if (found.length === 0 || !(await isConfirmed(() => job.keeper.isAmiss(key, job.depth)))) return;
  const current = await job.keeper.get(key);
  if (!current || !sameRecord(current, record)) return; // It was written, moved or deleted meanwhile.
  for (const { problem, text } of found) {
    counts[problem]++;
    job.progress.note(`${JSON.stringify(showKey(key))}: ${text}`);
  }
  if (!job.repair) return;
  try {
    if (found.some(({ problem }) => problem === "unfinished")) await whenFree(() => job.keeper.forget(key));
    else await whenFree(() => job.keeper.move(key, job.depth));
    counts.repaired += found.length;
  } catch (error) {
    job.progress.note(`${JSON.stringify(showKey(key))}: not repaired: ${reasonOf(error)}`);
  }
}

type Finding = { readonly problem: Problem; readonly text: string };

async function inspect(job: Verify, key: Key, record: ValueRecord): Promise<Finding[]> {
  const copies = await Promise.all(record.volumes.map((volume) => inspectCopy(job, volume, pathOf(key))));
  const absent = copies.filter((copy) => "problem" in copy && copy.problem === "missing").length;
  if (record.state === "unlinked" && absent === copies.length) {
    return [{ problem: "unfinished", text: "unlinked, and no volume has it: left by an unfinished write or delete" }];
  }
  const right = await rightPrint(job, key, record, copies);
  const findings = copies.flatMap((copy, i): Finding[] => {
    if ("problem" in copy) return [copy];
    if (copy.print === right) return [];
    const what = job.depth === "md5" ? "MD5" : "length";
    return [
      {
        problem: "damaged",
        text: `${record.volumes[i]} has a copy of ${what} ${copy.print}, not ${right ?? "that of the others"}`,
      },
    ];
  });
  if (!sameVolumes(record.volumes, place(key, job.topology))) {
    findings.push({ problem: "misplaced", text: `is on ${record.volumes.join(",")}, not where it belongs` });
  }
  return findings;
}

/** What the good copies look like: what the recorded MD5 says, or without one what most of them are. */
async function rightPrint(
  job: Verify,
  key: Key,
  record: ValueRecord,
  copies: Inspected[],
): Promise<string | undefined> {
  const prints = copies.flatMap((copy) => ("print" in copy ? [copy.print] : []));
  if (job.depth === "md5") return record.md5 ?? majority(prints);
  if (record.md5 === undefined || new Set(prints).size < 2) return majority(prints);
  for (const [i, copy] of copies.entries()) {
    if (!("print" in copy)) continue;
    const read = await inspectCopy({ ...job, depth: "md5" }, record.volumes[i]!, pathOf(key));
    if ("print" in read && read.print === record.md5) return copy.print;
  }
  return undefined;
}

/** What is seen while somebody may be at work on the key counts only if it is so with the key locked as well. */
async function isConfirmed(question: () => Promise<boolean>): Promise<boolean> {
  return await whenFree(question).catch((error) => {
    if (error instanceof MkvError && error.code === "busy") return false; // In the hands of its writer.
    throw error;
  });
}

type Inspected = Finding | { readonly print: string };

async function inspectCopy(job: Verify, volume: string, path: string): Promise<Inspected> {
  try {
    const info = await head(job.volumes, volume, path);
    if (!info) return { problem: "missing", text: `${volume} has no copy` };
    if (info.bytes === 0) return { problem: "damaged", text: `${volume} has an empty copy` };
    if (job.depth === "length") return { print: String(info.bytes) };
    return { print: await md5Of(job.volumes, volume, path, job.pace) };
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    return { problem: "unknown", text: error.message };
  }
}

async function verifyFile(job: Verify, counts: VerifyCounts, { path, copies }: FoundFile): Promise<void> {
  counts.files += copies.size;
  const key = keyAt(path);
  const record = key && (await job.keeper.get(key));
  for (const [volume, { modified }] of copies) {
    if (record?.volumes.includes(volume)) continue;
    if (key && !(await isConfirmed(() => job.keeper.isOrphan(key, volume)))) continue;
    counts.orphans++;
    const isOld = Date.now() - Date.parse(modified) > limits.orphanMs;
    const why = !key ? "is not where its name belongs" : isOld ? "is in no record" : "is in no record yet";
    job.progress.note(`${volume}${readable(path)}: ${why}`);
    if (!key || !isOld || !job.removeOrphans) continue;
    try {
      await whenFree(() => job.keeper.sweep(key, volume));
      counts.repaired++;
    } catch (error) {
      job.progress.note(`${volume}${readable(path)}: not removed: ${reasonOf(error)}`);
    }
  }
}

function sameRecord(a: ValueRecord, b: ValueRecord): boolean {
  return a.state === b.state && a.md5 === b.md5 && sameVolumes(a.volumes, b.volumes);
}
