// Owns the comparison of the ledger with the volumes: every record against its copies, then every file against the records.
// It reads both as streams. What looks wrong counts only if the target, with the key claimed, sees it too; a repair is part
// of that one look. So all of it can be done while a master runs.
import { MkvError, reasonOf } from "../errors";
import { type Key, showKey } from "../format/key";
import { keyAt } from "../format/path";
import { type Topology } from "../format/placement";
import { type ValueRecord, decodeRecord } from "../format/record";
import { isConfigured } from "../format/volume";
import { limits } from "../limits";
import { type Depth } from "../store/copies";
import { type Healed, type Problem as KeyProblem, findProblems } from "../store/heal";
import { type Pace } from "../store/pace";
import { retryBusy } from "../store/retry-busy";
import { damagedRecord } from "../store/store";
import { type Volumes } from "../volumes/volumes";
import { type Copy, type Folder, type FoundFile, files, folders, readable } from "./folders";
import { Later } from "./later";
import { type JobProgress, each, forEach } from "./pool";
import { type JobTarget, countKeys } from "./target";

/** What was looked at, what is wrong by kind, and how much of that was repaired. */
export type VerifyCounts = Record<"keys" | "files" | Problem | "repaired", number>;

/** `missing`, `damaged` and `unknown` (its volume does not answer) count copies, `orphans` files, the others keys. */
export const problems = ["missing", "damaged", "unknown", "misplaced", "unfinished", "orphans"] as const;
type Problem = KeyProblem | "orphans";

/** What to compare, and what to do about differences. */
export type Verify = {
  readonly target: JobTarget;
  readonly topology: Topology;
  readonly volumes: Volumes;
  /** By `md5` all data is read. */
  readonly depth: Depth;
  readonly pace: Pace;
  readonly repair: boolean;
  /** Whether files are removed that have been orphans for an hour. */
  readonly removeOrphans: boolean;
  readonly progress: JobProgress;
};

/** A key that is looked at again at the end: what was counted of it as wrong, and not repaired. */
type Unrepaired = {
  readonly key: Key;
  readonly counted: number;
  /** Whether it was unlinked, and lost, when it was looked at first: not one that was set aside since. */
  readonly isUnfinished?: boolean;
  /** Why it was not repaired. */
  readonly failure?: string | undefined;
};

/** Compares ledger and volumes. Throws MkvError if the ledger cannot be read. */
export async function verify(job: Verify): Promise<VerifyCounts> {
  const names = ["keys", "files", ...problems, "repaired"] as const;
  const counts = Object.fromEntries(names.map((name) => [name, 0])) as VerifyCounts;
  const later = new Later<Unrepaired>();
  let isForeign = false;
  const total = await countKeys(job.target);
  await forEach(each(job.target.scan()), limits.movesAtOnce, async ([key, text]) => {
    job.progress.at(++counts.keys, Math.max(total, counts.keys));
    const record = readRecord(job, counts, key, text);
    if (record?.volumes.some((volume) => !isConfigured(job.topology, volume))) isForeign = true;
    if (record) await verifyKey(job, counts, { key, record, later });
  });
  // With the wrong index, or other names for the volumes, every file would look like an orphan.
  const removeOrphans = job.removeOrphans && counts.keys > 0 && !isForeign;
  if (job.removeOrphans && !removeOrphans) job.progress.note("no orphan is removed: the index does not fit -volumes");
  let isAllSeen = true;
  try {
    const sweep = job.repair ? (empty: Folder) => removeEmpty(job.volumes, empty) : undefined;
    await forEach(folders(job.volumes, job.topology), limits.foldersAtOnce, async (folder) => {
      for await (const page of files(job.volumes, folder, sweep))
        await verifyFiles({ ...job, removeOrphans }, counts, page);
    });
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    isAllSeen = false;
    counts.unknown++;
    job.progress.note(`the files were not all compared: ${error.message}`);
  }
  await forEach(later.items(), limits.movesAtOnce, ([unrepaired, forMs]) =>
    verifyAgain({ ...job, repair: job.repair && isAllSeen }, counts, { ...unrepaired, forMs }),
  );
  return counts;
}

/** The record; nothing if it is damaged, which is counted. */
function readRecord(job: Verify, counts: VerifyCounts, key: Key, text: string): ValueRecord | undefined {
  try {
    return decodeRecord(text);
  } catch (error) {
    counts.damaged++;
    note(job, key, reasonOf(error));
    return undefined;
  }
}

async function verifyKey(
  job: Verify,
  counts: VerifyCounts,
  { key, record, later }: { key: Key; record: ValueRecord; later: Later<Unrepaired> },
): Promise<void> {
  if ((await findProblems(job, key, record, job)).length === 0) return;
  try {
    // A key is only forgotten when all files have been seen: an index that is behind may not know where its own are.
    const healed = await look(job, key, { forMs: limits.busyMs, forget: false });
    count(job, counts, { key, healed });
    const counted = healed.findings.length;
    if (counted === 0 || !job.repair || healed.isRepaired) return;
    const { failure = "there was too much to do, run it again" } = healed;
    const isUnfinished = healed.findings.some(({ problem }) => problem === "unfinished");
    if (!later.add({ key, counted, isUnfinished, failure: healed.failure })) note(job, key, `not repaired: ${failure}`);
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    if (!later.takes({ key, counted: 0 }, error)) countUnknown(job, counts, { key, error });
  }
}

/** Looks once more at a key that was busy, could not be looked at, or could not be repaired before all files were seen. */
async function verifyAgain(
  job: Verify,
  counts: VerifyCounts,
  { key, counted, isUnfinished = false, failure, forMs }: Unrepaired & { forMs: number },
): Promise<void> {
  try {
    const healed = await look(job, key, { forMs, forget: isUnfinished && job.repair });
    const isWell = healed.isRepaired || healed.findings.length === 0;
    if (counted === 0) count(job, counts, { key, healed });
    else if (isWell) counts.repaired += counted;
    if (isWell) return;
    for (const why of new Set([failure, healed.failure])) if (why !== undefined) note(job, key, `not repaired: ${why}`);
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    if (counted === 0) countUnknown(job, counts, { key, error });
    else note(job, key, `not repaired: ${error.message}`);
  }
}

function look(
  { target, depth, repair }: Verify,
  key: Key,
  { forMs, forget }: { forMs: number; forget: boolean },
): Promise<Healed> {
  return retryBusy(() => target.heal(key, { depth, repair, forget }), forMs);
}

function count(job: Verify, counts: VerifyCounts, { key, healed }: { key: Key; healed: Healed }): void {
  for (const { problem, line } of healed.findings) {
    counts[problem]++;
    note(job, key, line);
  }
  if (healed.isRepaired) counts.repaired += healed.findings.length;
}

function countUnknown(job: Verify, counts: VerifyCounts, { key, error }: { key: Key; error: MkvError }): void {
  counts.unknown++;
  note(job, key, `could not be looked at: ${error.message}`);
}

async function verifyFiles(job: Verify, counts: VerifyCounts, page: readonly FoundFile[]): Promise<void> {
  for (let at = 0; at < page.length; at += limits.batchRecords) {
    const found = page.slice(at, at + limits.batchRecords).map((file) => ({ ...file, key: keyAt(file.path) }));
    const records = await job.target.getAll(found.flatMap(({ key }) => key ?? []));
    let next = 0;
    for (const { key, path, copies } of found) {
      counts.files += copies.length;
      const record = key && records[next++];
      if (record === damagedRecord) continue; // It was named; its files are nobody's orphans.
      const named = record === undefined ? [] : decodeRecord(record).volumes;
      for (const { volume } of copies) {
        if (!named.includes(volume)) await verifyOrphan(job, counts, { key, path, volume });
      }
    }
  }
}

const orphanLines = {
  young: "is in no record yet",
  orphan: "is in no record",
  removed: "is in no record: removed",
  copy: "is a copy that its record should name",
  recorded: "is a copy that its record lacked: it names it now",
  kept: "",
} as const;

async function verifyOrphan(
  job: Verify,
  counts: VerifyCounts,
  { key, path, volume }: { key: Key | undefined; path: string; volume: Copy["volume"] },
): Promise<void> {
  const where = `${volume}${readable(path)}`;
  try {
    if (!key) {
      counts.orphans++;
      return job.progress.note(`${where}: is not where its name belongs`);
    }
    const how = { volume, repair: job.repair, remove: job.removeOrphans };
    const { state, why } = await retryBusy(() => job.target.orphan(key, how), limits.busyMs);
    if (state === "accounted") return;
    counts.orphans++;
    if (state === "recorded" || state === "removed") counts.repaired++;
    job.progress.note(`${where}: ${orphanLines[state]}${why ?? ""}`);
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    counts.unknown++;
    job.progress.note(`${where}: could not be looked at: ${error.message}`);
  }
}

/** Has a folder removed from the volumes on which it is empty, as far as `mkv volume` runs there: nginx removes none. */
async function removeEmpty(all: Volumes, { path, volumes }: Folder): Promise<void> {
  for (const volume of volumes) {
    try {
      if (await all.hasSync(volume)) await all.sync(volume, path.slice(0, -1), { expected: "gone" });
    } catch (error) {
      if (!(error instanceof MkvError)) throw error; // It stays until the next time: nothing depends on it.
    }
  }
}

function note({ progress }: Verify, key: Key, line: string): void {
  progress.note(`${JSON.stringify(showKey(key))}: ${line}`);
}
