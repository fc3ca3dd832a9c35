// Owns the regeneration of the index from the files. The files are the truth of what exists; an old index, where there
// is one, of what they cannot tell: which keys are unlinked, and the hashes.
import { MkvError } from "../errors";
import { keyAt } from "../format/path";
import { type Key, showKey } from "../format/key";
import { type Topology, place } from "../format/placement";
import { type ValueRecord, decodeRecord, encodeRecord } from "../format/record";
import { type Index, type IndexEntry, type RawEntry } from "../index/index";
import { type Debt, merged } from "../index/journal";
import { limits } from "../limits";
import { union, without } from "../store/debts";
import { type VolumeAccess } from "../volumes/volume";
import { type FoundFile, files, folders, readable } from "./folders";
import { type JobProgress, each, forEach } from "./pool";

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

/** By key, as shown: the volumes on which unfinished work, not the record, accounts for the file. */
type Owed = ReadonlyMap<string, readonly string[]>;

/**
 * Puts a record of every value on the volumes into `next`.
 * @throws MkvError volume-failed, timeout if a volume cannot be listed; `next` is of no use then
 */
export async function rebuild(job: Rebuild): Promise<RebuildCounts> {
  const counts = { keys: 0, files: 0, rejected: 0 };
  const owed = job.old ? await readOwed(job, job.old) : new Map();
  const batch: IndexEntry[] = [];
  let done = 0;
  await forEach(folders(job.volumes, job.topology), limits.foldersAtOnce, async (folder) => {
    for await (const page of files(job.volumes, folder)) {
      for (const file of page) {
        const entry = entryOf(job, counts, file, owed);
        if (entry) batch.push(entry);
      }
      if (batch.length >= limits.batchRecords) await job.next.putAll(batch.splice(0));
    }
    job.progress.at(++done, 65_536);
  });
  await job.next.putAll(batch);
  if (job.old) await carryOver(job, job.old);
  return counts;
}

async function readOwed(job: Rebuild, old: Index): Promise<Owed> {
  const debts = new Map<string, Debt>();
  for (const debt of job.debts) debts.set(showKey(debt.key), merged(debt, debts.get(showKey(debt.key))));
  const owed = new Map<string, readonly string[]>();
  for (const [shown, { key, volumes, marks }] of debts) {
    const known = await knownOf(job, key, (key) => old.get(key));
    owed.set(shown, !known || marks.includes(encodeRecord(known)) ? volumes : without(volumes, known.volumes));
  }
  return owed;
}

/** The record of what lies at one path; nothing if no copy counts. */
function entryOf(job: Rebuild, counts: RebuildCounts, file: FoundFile, owed: Owed): IndexEntry | undefined {
  const key = keyAt(file.path);
  const owing = key && owed.size > 0 ? owed.get(showKey(key)) : undefined;
  const volumes: string[] = [];
  for (const { volume, bytes } of file.copies) {
    let why: string | undefined;
    if (!key) why = "not where its name belongs";
    else if (bytes === 0) why = "empty";
    else if (owing?.includes(volume)) why = "left by an unfinished write";
    if (why === undefined) volumes.push(volume);
    else job.progress.note(`${volume}${readable(file.path)}: ${why}, not indexed`);
  }
  counts.rejected += file.copies.length - volumes.length;
  if (!key || volumes.length === 0) return undefined;
  counts.keys++;
  counts.files += volumes.length;
  const targets = place(key, job.topology).filter((target) => volumes.includes(target));
  const ordered = targets.length === volumes.length ? targets : union(targets, volumes);
  return { key, record: { state: "live", md5: undefined, volumes: ordered } };
}

/** Gives the new records what only the old index knows: which keys are unlinked, and the hashes. */
async function carryOver(job: Rebuild, old: Index): Promise<void> {
  const isWhole = await isReadable(old);
  if (!isWhole) job.progress.note("the old index is damaged: each key is looked up in what is left of it");
  const known = isWhole ? beside(old) : (key: Key) => old.get(key); // A scan passes over what it cannot read.
  for await (const page of job.next.scan({})) {
    const entries: IndexEntry[] = [];
    for (const [key, text] of page) {
      const record = await knownOf(job, key, known);
      if (record) entries.push({ key, record: { ...record, volumes: decodeRecord(text).volumes } });
    }
    await job.next.putAll(entries);
  }
}

/** Looks keys up that come in order, by a scan that goes along with them. */
function beside(index: Index): (key: Key) => Promise<ValueRecord | undefined> {
  const entries = each(index.scan({}));
  let at: IteratorResult<RawEntry, unknown> | undefined;
  return async (key) => {
    at ??= await entries.next();
    while (!at.done && Buffer.compare(at.value[0], key) < 0) at = await entries.next();
    return at.done || Buffer.compare(at.value[0], key) !== 0 ? undefined : decodeRecord(at.value[1]);
  };
}

async function isReadable(index: Index): Promise<boolean> {
  try {
    for await (const page of index.scan({})) void page;
    return true;
  } catch (error) {
    if (error instanceof MkvError) return false;
    throw error;
  }
}

/** What the old index says of a key; nothing if it is damaged there. */
async function knownOf(job: Rebuild, key: Key, get: Index["get"]): Promise<ValueRecord | undefined> {
  try {
    return await get(key);
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    job.progress.note(`${JSON.stringify(showKey(key))}: whether it was unlinked is lost: ${error.message}`);
    return undefined;
  }
}
