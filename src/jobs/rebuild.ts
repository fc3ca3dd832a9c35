// Owns the regeneration of the index from the files. The files are the truth of what exists; an old index, where there is
// one, of what they cannot tell: which keys are unlinked, and the hashes. Copies are never merged that are not of one write,
// and what an old index says is only believed of the write that it was said of.
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { keyAt } from "../format/path";
import { place } from "../format/placement";
import { type ValueRecord, leastBytesOf } from "../format/record";
import { union, volumesOf } from "../format/volume";
import { type KeyRecord } from "../ledger/ledger";
import { type OwedByKey, type WrittenIndex } from "../ledger/next";
import { limits } from "../limits";
import { md5Of } from "../store/copy";
import { type Copy, type FoundFile, type Share } from "../volumes/folders";
import { files, folders, folderNumber, hashFolders, readable, withEarlier } from "../volumes/folders";
import { forEach } from "./pool";
import { type Facts, type Found, isSuspect, oldRecord, unknownHash, withFacts } from "./rebuild-old";

/** Copies are counted, not keys, in `files` and `rejected`. */
export type RebuildCounts = { keys: number; files: number; rejected: number };

export type Gathering = Facts & {
  readonly next: WrittenIndex;
  /** Places that are as they were earlier, by the names that they have now. */
  readonly putBack: ReadonlySet<string>;
  /** The folders that are this gathering's, where several share them out. */
  readonly share: Share;
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
  const unpaid = owed?.unpaid;
  const isUnpaid = ({ volume, modified }: Copy) =>
    unpaid !== undefined &&
    unpaid.volumes.includes(volume) &&
    Date.parse(modified) < unpaid.beforeMs &&
    !isSuspect(job.suspect, modified);
  const isGone = key && file.copies.some(isUnpaid) && (await isAbsent(job, key));
  const whole = file.copies.filter((copy) => {
    if (!key) reject(copy, "not where its name belongs");
    else if (copy.bytes === 0 && !mayBeEmpty) reject(copy, "empty");
    else if (owed?.rubbish.includes(copy.volume)) reject(copy, "left by an unfinished write");
    else if (isGone && isUnpaid(copy)) reject(copy, "left by a delete");
    else return true;
    return false;
  });
  if (!key || whole.length === 0) return undefined;
  if (await isDeleted(job, key, whole)) {
    for (const copy of whole) reject(copy, "on a disk that was put back, and deleted since");
    return undefined;
  }
  const proven = provenOf(whole, owed);
  const isLater = (copy: Copy) => isSuspect(job.suspect, copy.modified);
  const known = async () => (job.suspect ? undefined : await oldRecord(job, key));
  const hashOf = ({ volume }: Copy) => md5Of(job.volumes, volume, file.path).catch(unknownHash);
  const ofWrite = await ofOneWrite(proven, { known, isLater, hashOf });
  const strays = whole.filter(({ volume }) => owed?.strays.includes(volume));
  const copies = await asHashed(job, key, { copies: ofWrite, strays, hashOf });
  for (const copy of whole) {
    if (copies.includes(copy) || strays.includes(copy) || owed?.unproven.includes(copy.volume)) continue;
    reject(copy, "differs from the other copies");
  }
  const volumes = volumesOf(copies);
  counts.keys++;
  counts.files += volumes.length;
  const targets = place(key, job.volumes.topology).filter((target) => volumes.includes(target));
  const ordered = targets.length === volumes.length ? targets : union(targets, volumes);
  return { key, record: { state: "live", md5: undefined, volumes: ordered }, modified: ofWrite[0]!.modified };
}

/**
 * The copies that count, as far as unfinished work tells. After a loss of power those that a move made may be cut off: then
 * the longer ones of the same date that it left behind count, and what it was still copying only where nothing else is left.
 */
function provenOf(copies: readonly Copy[], owed: OwedByKey | undefined): readonly Copy[] {
  if (!owed) return copies;
  const old = copies.filter(({ volume }) => owed.strays.includes(volume));
  const copied = copies.filter(({ volume }) => owed.unproven.includes(volume));
  const isCutOff = (copy: Copy) =>
    [...old, ...copied].some(({ bytes, modified }) => modified === copy.modified && bytes > copy.bytes);
  const full = copies.filter((copy) => !old.includes(copy) && !copied.includes(copy) && !isCutOff(copy));
  return [full, old, copied].find(({ length }) => length > 0) ?? copies;
}

/**
 * These copies, or what the old index's hash leaves of them and of the strays, where some may have no more than their length
 * after a loss of power: of more than there should be those that a move has added; all, where others are on their way out.
 */
async function asHashed(
  job: Gathering,
  key: Key,
  how: { copies: readonly Copy[]; strays: readonly Copy[]; hashOf: (copy: Copy) => Promise<string | undefined> },
): Promise<readonly Copy[]> {
  const { copies, strays, hashOf } = how;
  const areMany = copies.length > job.volumes.topology.replicas;
  const areNew = strays.length > 0 && !strays.includes(copies[0]!);
  if (!areMany && !areNew) return copies;
  const { md5, volumes = [] } = (await oldRecord(job, key)) ?? {};
  if (md5 === undefined || (!areNew && copies.every(({ volume }) => volumes.includes(volume)))) return copies;
  for (const some of areNew ? [copies, strays] : [copies]) {
    const hashes = await Promise.all(some.map(hashOf));
    const right = some.filter((_, i) => hashes[i] === md5);
    if (right.length > 0) return right;
  }
  return copies;
}

/** Whether all copies lie on disks that were put back, and an index that lacks nothing does not know the key. */
async function isDeleted(job: Gathering, key: Key, copies: readonly Copy[]): Promise<boolean> {
  if (job.suspect || !copies.every(({ volume }) => job.putBack.has(volume))) return false;
  return await isAbsent(job, key);
}

/** Whether there is an old index, and it does not know the key. */
async function isAbsent({ old }: Gathering, key: Key): Promise<boolean> {
  try {
    return old !== undefined && (await old.get(key)) === undefined;
  } catch (error) {
    if (error instanceof MkvError) return false; // It is damaged there.
    throw error;
  }
}

/**
 * The copies of one write: the youngest of those that the old index need not know of, since whatever is older was deleted or
 * unlinked before; else those that the old record names, if they are most, or if those that it names are as many, all with
 * its MD5; else the most, the youngest, the longest.
 */
async function ofOneWrite(
  copies: readonly Copy[],
  how: {
    known: () => Promise<ValueRecord | undefined>;
    isLater: (copy: Copy) => boolean;
    hashOf: (copy: Copy) => Promise<string | undefined>;
  },
): Promise<readonly Copy[]> {
  const writes = await writesOf(copies, how.hashOf);
  if (writes.length === 1) return writes[0]!.copies;
  const { volumes = [], md5 } = (await how.known()) ?? {};
  const rank = ({ copies }: Write) => [
    how.isLater(copies[0]!) ? Date.parse(copies[0]!.modified) : 0,
    copies.filter(({ volume }) => volumes.includes(volume)).length,
    copies.length,
    Date.parse(copies[0]!.modified),
    copies[0]!.bytes,
  ];
  const best = writes.reduce((best, write) => (isGreater(rank(write), rank(best)) ? write : best));
  const [, named] = rank(best);
  const rivals = writes.filter((write) => rank(write)[1] === named);
  if (md5 === undefined || named === 0 || rivals.length === 1) return best.copies;
  const hashes = await Promise.all(rivals.map(({ copies, hash }) => hash ?? how.hashOf(copies[0]!)));
  return (rivals.find((_, i) => hashes[i] === md5) ?? best).copies;
}

/** The copies of a write, the youngest first, and their MD5 if it had to be known. */
type Write = { readonly copies: readonly Copy[]; readonly hash?: string | undefined };

/**
 * Copies of the same length are of one write if they are of the same time, or else of the same bytes: each copy of the Go
 * program's has the time at which it was written.
 */
async function writesOf(
  copies: readonly Copy[],
  hashOf: (copy: Copy) => Promise<string | undefined>,
): Promise<readonly Write[]> {
  const ofOneTime = [...Map.groupBy(copies, ({ bytes, modified }) => `${bytes} ${modified}`).values()];
  const hashed = ofOneTime.map(async (copies) => {
    const isAlone = ofOneTime.every((others) => others === copies || others[0]!.bytes !== copies[0]!.bytes);
    return { copies, hash: isAlone ? undefined : await hashOf(copies[0]!) };
  });
  const ofOneHash = Map.groupBy(await Promise.all(hashed), (write) => write.hash ?? write);
  return [...ofOneHash.values()].map((writes) => ({
    copies: writes.flatMap(({ copies }) => copies).sort((a, b) => Date.parse(b.modified) - Date.parse(a.modified)),
    hash: writes[0]!.hash,
  }));
}

function isGreater(a: readonly number[], b: readonly number[]): boolean {
  const at = a.findIndex((number, i) => number !== b[i]);
  return at >= 0 && a[at]! > b[at]!;
}
