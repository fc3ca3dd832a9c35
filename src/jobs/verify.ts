// Owns the comparison of the index with the volumes: every record against its copies, then every file against the index.
// It reads both as streams; a repair is one request to the keeper for one key, so that it can be made while a master runs.
import { MkvError, reasonOf } from "../errors";
import { type Key, showKey } from "../format/key";
import { keyAt } from "../format/path";
import { type Topology, place, sameVolumes } from "../format/placement";
import { type ValueRecord, decodeRecord, encodeRecord } from "../format/record";
import { type IndexEntry } from "../ledger/index";
import { limits } from "../limits";
import { isConfigured } from "../format/volume";
import { type Pace } from "../store/copy";
import { retryBusy } from "../store/retry-busy";
import { type Depth, survey } from "../store/survey";
import { type VolumeAccess } from "../volumes/volume";
import { type FoundFile, files, folders, readable } from "./folders";
import { type Keeper } from "./keeper";
import { type JobProgress, each, forEach } from "./pool";

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
  const names = ["keys", "files", ...problems, "repaired"] as const;
  const counts = Object.fromEntries(names.map((name) => [name, 0])) as VerifyCounts;
  let total = 0;
  let isForeign = false;
  for await (const page of job.keeper.scan({})) total += page.length;
  await forEach(each(job.keeper.scan({})), limits.movesAtOnce, async ([key, text]) => {
    job.progress.at(++counts.keys, Math.max(total, counts.keys));
    const record = readRecord(job, counts, key, text);
    if (record?.volumes.some((volume) => !isConfigured(job.topology, volume))) isForeign = true;
    if (record) await verifyKey(job, counts, { key, record });
  });
  // With the wrong index, or other names for the volumes, every file would look like an orphan.
  const removeOrphans = job.removeOrphans && counts.keys > 0 && !isForeign;
  if (job.removeOrphans && !removeOrphans) job.progress.note("no orphan is removed: the index does not fit -volumes");
  try {
    await forEach(folders(job.volumes, job.topology), limits.foldersAtOnce, async (folder) => {
      for await (const file of each(files(job.volumes, folder))) {
        await verifyFile({ ...job, removeOrphans }, counts, file);
      }
    });
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    counts.unknown++;
    job.progress.note(`the files were not all compared: ${error.message}`);
  }
  return counts;
}

/** The record; nothing if it is damaged, which is counted. */
function readRecord(job: Verify, counts: VerifyCounts, key: Key, text: string): ValueRecord | undefined {
  try {
    return decodeRecord(text);
  } catch (error) {
    counts.damaged++;
    job.progress.note(`${JSON.stringify(showKey(key))}: ${reasonOf(error)}`);
    return undefined;
  }
}

async function verifyKey(job: Verify, counts: VerifyCounts, { key, record }: IndexEntry): Promise<void> {
  const found = await inspect(job, key, record);
  if (found.length === 0 || !(await isConfirmed(() => job.keeper.isAmiss(key, job.depth)))) return;
  const current = await job.keeper.get(key);
  if (!current || encodeRecord(current) !== encodeRecord(record)) return; // It was written, moved or deleted meanwhile.
  for (const { problem, line } of found) {
    counts[problem]++;
    job.progress.note(`${JSON.stringify(showKey(key))}: ${line}`);
  }
  if (!job.repair) return;
  try {
    if (found.some(({ problem }) => problem === "unfinished"))
      await retryBusy(() => job.keeper.forget(key), limits.busyMs);
    else await retryBusy(() => job.keeper.move(key, job.depth), limits.busyMs);
    counts.repaired += found.length;
  } catch (error) {
    job.progress.note(`${JSON.stringify(showKey(key))}: not repaired: ${reasonOf(error)}`);
  }
}

type Finding = { readonly problem: Problem; readonly line: string };

async function inspect(job: Verify, key: Key, record: ValueRecord): Promise<Finding[]> {
  const { depth, prints, good, odd, empty, missing, silent } = await survey(job.volumes, key, record, job);
  if (record.state === "unlinked" && missing.length === record.volumes.length) {
    return [{ problem: "unfinished", line: "unlinked, and no volume has it: left by an unfinished write or delete" }];
  }
  const what = depth === "md5" ? "MD5" : "length";
  const right = prints.get(good[0] ?? "") ?? record.md5 ?? "that of the others";
  const found: Finding[] = [
    ...missing.map((volume) => ({ problem: "missing" as const, line: `${volume} has no copy` })),
    ...empty.map((volume) => ({ problem: "damaged" as const, line: `${volume} has an empty copy` })),
    ...odd.map((volume) => ({
      problem: "damaged" as const,
      line: `${volume} has a copy of ${what} ${prints.get(volume)}, not ${right}`,
    })),
    ...[...silent.values()].map(({ message }) => ({ problem: "unknown" as const, line: message })),
  ];
  if (!sameVolumes(record.volumes, place(key, job.topology))) {
    found.push({ problem: "misplaced", line: `is on ${record.volumes.join(",")}, not where it belongs` });
  }
  return found;
}

/** What is seen while somebody may be at work on the key counts only if it is so with the key locked as well. */
async function isConfirmed(question: () => Promise<boolean>): Promise<boolean> {
  return await retryBusy(question, limits.busyMs).catch((error) => {
    if (error instanceof MkvError && error.code === "busy") return false; // In the hands of its writer.
    throw error;
  });
}

async function verifyFile(job: Verify, counts: VerifyCounts, { path, copies }: FoundFile): Promise<void> {
  counts.files += copies.length;
  const key = keyAt(path);
  const record = key && (await job.keeper.get(key));
  for (const { volume, modified } of copies) {
    if (record?.volumes.includes(volume)) continue;
    if (key && !(await isConfirmed(() => job.keeper.isOrphan(key, volume)))) continue;
    counts.orphans++;
    const isOld = Date.now() - Date.parse(modified) > limits.orphanMs;
    const why = !key ? "is not where its name belongs" : isOld ? "is in no record" : "is in no record yet";
    job.progress.note(`${volume}${readable(path)}: ${why}`);
    if (!key || !isOld || !job.removeOrphans) continue;
    try {
      await retryBusy(() => job.keeper.sweep(key, volume), limits.busyMs);
      counts.repaired++;
    } catch (error) {
      job.progress.note(`${volume}${readable(path)}: not removed: ${reasonOf(error)}`);
    }
  }
}
