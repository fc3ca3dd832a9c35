// Owns the proof that the recorded copies of a value are whole, on the strength of which others go.
// 1. All of them are there, and of one length.
// 2. After a loss of power a copy may have no more than its length, and all of them may be cut off alike. So one is read,
//    where its MD5 is known: before the last copy goes that was there before a move whose copies could not be synced; and
//    where a file that is to go is longer, and of their date. Of other files that proves nothing: they go.
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { type ValueRecord, leastBytesOf } from "../format/record";
import { type FileInfo } from "../volumes/read";
import { md5Of } from "./copy";
import { type Store } from "./store";

/** The first recorded copy, if these prove the value so far that so many strays may go. If not, somebody is to mend that. */
export async function provenCopy(
  store: Store,
  key: Key,
  { record, strays }: { record: ValueRecord; strays: number },
): Promise<FileInfo | undefined> {
  const { volumes, hints } = store;
  if (!record.volumes.every((volume) => volumes.health.isUp(volume))) return undefined;
  const path = pathOf(key);
  const seen = await Promise.all(record.volumes.map((volume) => volumes.head(volume, path).catch(() => undefined)));
  const [first] = seen;
  if (!first || first.bytes < leastBytesOf(record.md5) || seen.some((file) => file?.bytes !== first.bytes)) {
    await hints.add(key, { why: "damaged" });
    return undefined;
  }
  if (strays < record.volumes.length) return first; // One of them at least was there before.
  const synced = await Promise.all(record.volumes.map((volume) => volumes.canSync(volume)));
  return synced.every(Boolean) || (await isFirstRight(store, key, record)) !== false ? first : undefined;
}

/** Whether the first recorded copy has the recorded MD5; undefined without one. If it has not, somebody is to mend that. */
export async function isFirstRight(
  { volumes, hints }: Store,
  key: Key,
  record: ValueRecord,
): Promise<boolean | undefined> {
  if (record.md5 === undefined) return undefined;
  try {
    if ((await md5Of(volumes, record.volumes[0]!, pathOf(key))) === record.md5) return true;
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    return false;
  }
  await hints.add(key, { why: "damaged" });
  return false;
}
