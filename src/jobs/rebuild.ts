// Owns the regeneration of the index from the files. The files are the truth of what exists; an old index, where there
// is one, of what they cannot tell: which keys are unlinked, and the hashes.
import { MkvError } from "../errors";
import { keyAt } from "../format/path";
import { type Key, showKey } from "../format/key";
import { type Topology, place } from "../format/placement";
import { type ValueRecord, encodeRecord } from "../format/record";
import { type Index, type IndexEntry } from "../index/index";
import { type Debt, merged } from "../index/journal";
import { limits } from "../limits";
import { union, without } from "../store/debts";
import { type VolumeAccess } from "../volumes/volume";
import { type Folder, type FoundFile, files, folders, readable } from "./folders";
import { type JobProgress, forEach } from "./pool";

/** Copies are counted, not keys, in `files` and `rejected`. */
export type RebuildCounts = { keys: number; files: number; rejected: number };

type Rebuild = {
  readonly old: Index | undefined;
  readonly next: Index;
  /** Files that unfinished work has left: not taken for values. */
  readonly debts: readonly Debt[];
  readonly topology: Topology;
  readonly volumes: VolumeAccess;
  readonly progress: JobProgress;
};

/**
 * Puts a record of every value on the volumes into `next`.
 * @throws MkvError volume-failed, timeout if a volume cannot be listed; `next` is of no use then
 */
export async function rebuild(job: Rebuild): Promise<RebuildCounts> {
  const counts = { keys: 0, files: 0, rejected: 0 };
  const debts = new Map<string, Debt>();
  for (const debt of job.debts) debts.set(showKey(debt.key), merged(debt, debts.get(showKey(debt.key))));
  let done = 0;
  await forEach(folders(job.volumes, job.topology), limits.foldersAtOnce, async (folder) => {
    await rebuildFolder(job, folder, { debts, counts });
    job.progress.at(++done, 65_536);
  });
  return counts;
}

async function rebuildFolder(
  job: Rebuild,
  folder: Folder,
  { debts, counts }: { debts: ReadonlyMap<string, Debt>; counts: RebuildCounts },
): Promise<void> {
  let batch: IndexEntry[] = [];
  for await (const file of files(job.volumes, folder)) {
    const key = keyAt(file.path);
    const known = key && (await knownOf(job, key));
    const volumes = key ? soundCopies(file, leftOvers(job, known, debts.get(showKey(key)))) : [];
    report(job, file, { key, volumes });
    counts.rejected += file.copies.size - volumes.length;
    if (!key || volumes.length === 0) continue;
    counts.keys++;
    counts.files += volumes.length;
    const targets = place(key, job.topology).filter((target) => volumes.includes(target));
    const ordered = union(targets, without(volumes, targets));
    batch.push({ key, record: { state: known?.state ?? "live", md5: known?.md5, volumes: ordered } });
    if (batch.length >= limits.batchRecords) await job.next.putAll(batch.splice(0));
  }
  if (batch.length > 0) await job.next.putAll(batch);
}

/** What the old index says of a key; nothing if it is damaged there. */
async function knownOf(job: Rebuild, key: Key): Promise<ValueRecord | undefined> {
  try {
    return await job.old?.get(key);
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    job.progress.note(`${JSON.stringify(showKey(key))}: whether it was unlinked is lost: ${error.message}`);
    return undefined;
  }
}

/** The volumes on which unfinished work, not the record, accounts for the file. */
function leftOvers(job: Rebuild, known: ValueRecord | undefined, debt: Debt | undefined): readonly string[] {
  if (!debt || !job.old) return [];
  return !known || debt.marks.includes(encodeRecord(known)) ? debt.volumes : without(debt.volumes, known.volumes);
}

function soundCopies({ copies }: FoundFile, owed: readonly string[]): string[] {
  return [...copies].filter(([volume, { bytes }]) => bytes > 0 && !owed.includes(volume)).map(([volume]) => volume);
}

function report(
  job: Rebuild,
  { path, copies }: FoundFile,
  { key, volumes }: { key: Key | undefined; volumes: string[] },
): void {
  for (const [volume, { bytes }] of copies) {
    if (volumes.includes(volume)) continue;
    const why = !key ? "not where its name belongs" : bytes === 0 ? "empty" : "left by an unfinished write";
    job.progress.note(`${volume}${readable(path)}: ${why}, not indexed`);
  }
}
