// Owns the regeneration of the index from the files. The files are the truth of what exists; an old index, where there
// is one, of what they cannot tell: which keys are unlinked, and the hashes.
import { MkvError } from "../errors";
import { keyAt } from "../format/path";
import { type Key, showKey } from "../format/key";
import { type Topology, place } from "../format/placement";
import { type ValueRecord, decodeRecord, encodeRecord } from "../format/record";
import { type Index, type IndexEntry, type RawEntry } from "../ledger/index";
import { type Debt, merged } from "../ledger/level/journal";
import { limits } from "../limits";
import { union, without } from "../store/debts";
import { type VolumeAccess } from "../volumes/volume";
import { type FoundFile, type Share, files, folders, hashFolders, readable } from "./folders";
import { type JobProgress, each, forEach } from "./pool";

/** Copies are counted, not keys, in `files` and `rejected`. */
export type RebuildCounts = { keys: number; files: number; rejected: number };

/** By key, as shown: the volumes on which unfinished work, not the record, accounts for the file. */
export type Owed = ReadonlyMap<string, readonly string[]>;

/** What a gathering takes. */
export type Gathering = {
  readonly next: Index;
  readonly owed: Owed;
  readonly topology: Topology;
  readonly volumes: VolumeAccess;
  readonly progress: JobProgress;
  /** The folders that are this gathering's, where several share them out. */
  readonly share: Share;
  /** Ends it early. */
  readonly stop: AbortSignal;
};

/** What unfinished work has left on the volumes, which is not to be taken for values. */
export async function readOwed(all: readonly Debt[], old: Index, progress: JobProgress): Promise<Owed> {
  const debts = new Map<string, Debt>();
  for (const debt of all) debts.set(showKey(debt.key), merged(debt, debts.get(showKey(debt.key))));
  const owed = new Map<string, readonly string[]>();
  for (const [shown, { key, volumes, marks }] of debts) {
    const known = await oldRecord(key, (key) => old.get(key), progress);
    owed.set(shown, !known || marks.includes(encodeRecord(known)) ? volumes : without(volumes, known.volumes));
  }
  return owed;
}

/**
 * Puts a record of every value on the volumes, in this share of the folders, into `next`.
 * @throws MkvError volume-failed, timeout if a volume cannot be listed; `next` is of no use then
 */
export async function gather(job: Gathering): Promise<RebuildCounts> {
  const counts = { keys: 0, files: 0, rejected: 0 };
  const batch: IndexEntry[] = [];
  let done = 0;
  const atOnce = Math.ceil(limits.foldersAtOnce / job.share.of);
  await forEach(until(job.stop, folders(job.volumes, job.topology, job.share)), atOnce, async (folder) => {
    for await (const page of files(job.volumes, folder)) {
      for (const file of page) {
        const entry = entryOf(job, counts, file);
        if (entry) batch.push(entry);
      }
      if (batch.length >= limits.batchRecords) await job.next.putAll(batch.splice(0));
    }
    job.progress.at(++done, hashFolders);
  });
  await job.next.putAll(batch);
  return counts;
}

async function* until<T>(stop: AbortSignal, items: AsyncIterable<T>): AsyncGenerator<T> {
  for await (const item of items) {
    if (stop.aborted) return;
    yield item;
  }
}

/** The record of what lies at one path; nothing if no copy counts. */
function entryOf(job: Gathering, counts: RebuildCounts, file: FoundFile): IndexEntry | undefined {
  const key = keyAt(file.path);
  const owing = key && job.owed.size > 0 ? job.owed.get(showKey(key)) : undefined;
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
export async function keepOldFacts(old: Index, next: Index, progress: JobProgress): Promise<void> {
  const isWhole = await isReadable(old);
  if (!isWhole) progress.note("the old index is damaged: each key is looked up in what is left of it");
  const known = isWhole ? lookupAlongside(old) : (key: Key) => old.get(key); // A scan passes over what it cannot read.
  for await (const page of next.scan({})) {
    const entries: IndexEntry[] = [];
    for (const [key, text] of page) {
      const record = await oldRecord(key, known, progress);
      if (record) entries.push({ key, record: { ...record, volumes: decodeRecord(text).volumes } });
    }
    await next.putAll(entries);
  }
}

/** Looks keys up that come in order, by a scan that goes along with them. */
function lookupAlongside(index: Index): (key: Key) => Promise<ValueRecord | undefined> {
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
async function oldRecord(key: Key, get: Index["get"], progress: JobProgress): Promise<ValueRecord | undefined> {
  try {
    return await get(key);
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    progress.note(`${JSON.stringify(showKey(key))}: whether it was unlinked is lost: ${error.message}`);
    return undefined;
  }
}
