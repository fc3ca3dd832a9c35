// Owns the regeneration of the index from the files. The files are the truth of what exists; an old index, where there is
// one, of what they cannot tell: which keys are unlinked, and the hashes. Copies are never merged that are not of one write,
// and what an old index says is only believed of the write that it was said of.
import { MkvError } from "../errors";
import { type Key, showKey } from "../format/key";
import { keyAt, pathOf } from "../format/path";
import { place } from "../format/placement";
import { type ValueRecord, decodeRecord, leastBytesOf } from "../format/record";
import { isConfigured, union, volumesOf } from "../format/volume";
import { type KeyRecord, type RawEntry } from "../ledger/ledger";
import { type Owed, type ReadIndex, type Suspect, type WrittenIndex } from "../ledger/rebuild";
import { limits } from "../limits";
import { md5Of } from "../store/copy";
import { type Volumes } from "../volumes/volumes";
import { type Copy, type FoundFile, type Share } from "./folders";
import { files, folders, folderNumber, hashFolders, readable, withEarlier } from "./folders";
import { type JobProgress, each, forEach } from "./pool";

/** Copies are counted, not keys, in `files` and `rejected`. */
export type RebuildCounts = { keys: number; files: number; rejected: number };

/** What a gathering takes. */
export type Gathering = {
  readonly next: WrittenIndex;
  readonly old: ReadIndex | undefined;
  readonly owed: Owed;
  readonly suspect: Suspect | undefined;
  readonly volumes: Volumes;
  readonly progress: JobProgress;
  /** The folders that are this gathering's, where several share them out. */
  readonly share: Share;
  /** Ends it early. */
  readonly stop: AbortSignal;
};

/**
 * Puts a record of every value on the volumes, in this share of the folders, into `next`.
 * @throws MkvError volume-failed, timeout if a volume cannot be listed; `next` is of no use then
 */
export async function gather(job: Gathering): Promise<RebuildCounts> {
  const counts = { keys: 0, files: 0, rejected: 0 };
  const batch: KeyRecord[] = [];
  const atOnce = Math.ceil(limits.foldersAtOnce / job.share.of);
  await forEach(until(job.stop, folders(job.volumes, job)), atOnce, async (folder) => {
    for await (const page of files(job.volumes, folder)) {
      for (const listed of page) {
        const file = await withEarlier(job.volumes, folder, listed);
        const found = file && (await valueOf(job, counts, file));
        const old = found && job.suspect && (await oldRecord(job, found.key));
        if (found) batch.push(old ? await withFacts(job, found, old) : found);
      }
      if (batch.length >= limits.batchRecords) await job.next.putAll(batch.splice(0));
    }
    const share = (folderNumber(folder.path) + 1) / hashFolders / job.share.of;
    job.progress.at({ what: "file", done: counts.files, share });
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

/** A value as its files tell it: live, without a hash. */
type Found = KeyRecord & { readonly modified: string };

/** What lies at one path; nothing if no copy counts. */
async function valueOf(job: Gathering, counts: RebuildCounts, file: FoundFile): Promise<Found | undefined> {
  const key = keyAt(file.path);
  const owed = key && job.owed.size > 0 ? job.owed.get(key.toHex()) : undefined;
  const reject = (copy: Copy, why: string) => {
    counts.rejected++;
    job.progress.note(`${copy.volume}${readable(file.path)}: ${why}, not indexed`);
  };
  const hasEmpty = key && file.copies.some(({ bytes }) => bytes === 0);
  const mayBeEmpty = hasEmpty && leastBytesOf((await oldRecord(job, key))?.md5) === 0;
  const whole = file.copies.filter((copy) => {
    if (!key) reject(copy, "not where its name belongs");
    else if (copy.bytes === 0 && !mayBeEmpty) reject(copy, "empty");
    else if (owed?.rubbish.includes(copy.volume)) reject(copy, "left by an unfinished write");
    else return true;
    return false;
  });
  if (!key || whole.length === 0) return undefined;
  const placed = whole.filter(({ volume }) => !owed?.strays.includes(volume));
  const isLater = (copy: Copy) => isSuspect(job.suspect, copy.modified);
  const known = async () => (job.suspect ? undefined : await oldRecord(job, key));
  const hashOf = ({ volume }: Copy) => md5Of(job.volumes, volume, file.path).catch(unknownHash);
  const copies = await ofOneWrite(placed.length > 0 ? placed : whole, { known, isLater, hashOf });
  for (const copy of placed) if (!copies.includes(copy)) reject(copy, "differs from the other copies");
  const volumes = volumesOf(copies);
  counts.keys++;
  counts.files += volumes.length;
  const targets = place(key, job.volumes.topology).filter((target) => volumes.includes(target));
  const ordered = targets.length === volumes.length ? targets : union(targets, volumes);
  return { key, record: { state: "live", md5: undefined, volumes: ordered }, modified: copies[0]!.modified };
}

/**
 * The copies of one write, of the same time and length: the youngest of those that the old index need not know of, since
 * whatever is older was deleted or unlinked before; else those that the old record names, if they are most, or if those that
 * it names are as many, all with its MD5; else the most, the youngest, the longest.
 */
async function ofOneWrite(
  copies: readonly Copy[],
  how: {
    known: () => Promise<ValueRecord | undefined>;
    isLater: (copy: Copy) => boolean;
    hashOf: (copy: Copy) => Promise<string | undefined>;
  },
): Promise<readonly Copy[]> {
  const [first, ...others] = copies;
  if (others.every(({ bytes, modified }) => bytes === first!.bytes && modified === first!.modified)) return copies;
  const writes = [...Map.groupBy(copies, ({ bytes, modified }) => `${bytes} ${modified}`).values()];
  const { volumes = [], md5 } = (await how.known()) ?? {};
  const rank = (write: readonly Copy[]) => [
    how.isLater(write[0]!) ? Date.parse(write[0]!.modified) : 0,
    write.filter(({ volume }) => volumes.includes(volume)).length,
    write.length,
    Date.parse(write[0]!.modified),
    write[0]!.bytes,
  ];
  const best = writes.reduce((best, write) => (isGreater(rank(write), rank(best)) ? write : best));
  const [, named] = rank(best);
  const rivals = writes.filter((write) => rank(write)[1] === named);
  if (md5 === undefined || named === 0 || rivals.length === 1) return best;
  const hashes = await Promise.all(rivals.map(([copy]) => how.hashOf(copy!)));
  const right = rivals.filter((_, i) => hashes[i] === md5);
  return right.length > 0 ? right.flat() : best;
}

/** Of what cannot be read: a rebuild goes on, and `verify` finds it. */
function unknownHash(error: unknown): undefined {
  if (!(error instanceof MkvError)) throw error;
}

function isGreater(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((number, i) => number !== b[i]);
  return at >= 0 && a[at]! > b[at]!;
}

/** Gives the new records what only the old index knows: which keys are unlinked, and the hashes. */
export async function keepOldFacts(
  old: ReadIndex,
  { next, owed, volumes, progress }: Pick<Gathering, "next" | "owed" | "volumes" | "progress">,
): Promise<void> {
  const job = { old, owed, volumes, progress, suspect: undefined };
  const known = alongside(old, () =>
    progress.note("the old index is damaged: each key is looked up in what is left of it"),
  );
  for await (const page of next.scan({})) {
    const entries: KeyRecord[] = [];
    for (const [key, text] of page) {
      const record = await known(key).catch((error) => unreadable(progress, key, error));
      if (record) entries.push(await withFacts(job, { key, record: decodeRecord(text), modified: "" }, record));
    }
    await next.putAll(entries);
  }
}

/** Looks keys up that come in order, by a scan that goes along with them; one by one from where the index is damaged. */
function alongside(old: ReadIndex, onDamage: () => void): (key: Key) => Promise<ValueRecord | undefined> {
  const entries = each(old.scan({}));
  let at: IteratorResult<RawEntry, unknown> | undefined;
  let isDamaged = false;
  return async (key) => {
    try {
      if (isDamaged) return old.get(key);
      at ??= await entries.next();
      while (!at.done && Buffer.compare(at.value[0], key) < 0) at = await entries.next();
    } catch (error) {
      if (!(error instanceof MkvError) || isDamaged) throw error;
      isDamaged = true;
      onDamage();
      return old.get(key);
    }
    return at.done || Buffer.compare(at.value[0], key) !== 0 ? undefined : decodeRecord(at.value[1]);
  };
}

type Facts = Pick<Gathering, "old" | "owed" | "suspect" | "volumes" | "progress">;

/** A value with state and hash of an old record, where that speaks of this write; if in doubt, the value is read. */
async function withFacts({ suspect, owed, volumes }: Facts, found: Found, old: ValueRecord): Promise<KeyRecord> {
  const { key, record } = found;
  const isReplaced = owed.size > 0 && owed.get(key.toHex())?.isReplaced === true;
  const mayBeLater = isReplaced || isSuspect(suspect, found.modified);
  const isElsewhere =
    !old.volumes.some((volume) => record.volumes.includes(volume)) &&
    old.volumes.some((volume) => isConfigured(volumes.topology, volume));
  if (!mayBeLater && !isElsewhere) return { key, record: { ...old, volumes: record.volumes } };
  if (old.md5 === undefined) return found;
  const md5 = await md5Of(volumes, record.volumes[0]!, pathOf(key));
  const isOther = md5 !== old.md5 || (suspect !== undefined && Date.parse(found.modified) >= suspect.laterMs);
  return { key, record: isOther ? { ...record, md5 } : { ...old, volumes: record.volumes } };
}

/** Whether a file of this date may be of a write that the old index does not know of. */
function isSuspect(suspect: Suspect | undefined, modified: string): boolean {
  return suspect !== undefined && Date.parse(modified) >= suspect.fromMs;
}

/** What the old index says of a key; nothing if it is damaged there. */
async function oldRecord(
  { old, progress }: Pick<Facts, "old" | "progress">,
  key: Key,
): Promise<ValueRecord | undefined> {
  try {
    return await old?.get(key);
  } catch (error) {
    return unreadable(progress, key, error);
  }
}

function unreadable(progress: JobProgress, key: Key, error: unknown): undefined {
  if (!(error instanceof MkvError)) throw error;
  progress.note(`${JSON.stringify(showKey(key))}: whether it was unlinked is lost: ${error.message}`);
}
