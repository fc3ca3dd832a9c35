// Owns the proof that the recorded copies of a value are whole, on the strength of which others go.
// 1. All of them are there, and of one length.
// 2. After a loss of power a copy may have no more than its length, and all of them may be cut off alike. One is safe if its
//    volume has been up since before the others were to go. Where none is safe, one is read, if its MD5 is known. One is also
//    read where a file that is to go is longer, and of their date.
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { type ValueRecord, leastBytesOf } from "../format/record";
import { limits } from "../limits";
import { type FileInfo } from "../volumes/read";
import { Turns } from "../turns";
import { md5Of } from "./copy";
import { type Pace } from "./pace";
import { type Store } from "./store";

/**
 * The first recorded copy, if these prove the value; `damaged` if they are not whole: somebody is to mend that then.
 * @param how.sinceMs since when others are to go, by `nowMs`
 * @param how.pace how fast a copy may be read
 */
export async function provenCopy(
  store: Store,
  key: Key,
  { record, sinceMs, pace }: { record: ValueRecord; sinceMs: number; pace: Pace | undefined },
): Promise<FileInfo | "damaged" | undefined> {
  const { volumes } = store;
  if (!record.volumes.every((volume) => volumes.health.isUp(volume))) return undefined;
  const asked = record.volumes.map((volume) => volumes.head(volume, pathOf(key)));
  const seen = await Promise.all(asked).catch(nothing);
  if (!seen) return undefined; // One does not say.
  const [first] = seen;
  if (!first || first.bytes < leastBytesOf(record.md5) || seen.some((file) => file?.bytes !== first.bytes)) {
    await tellDamaged(store, key, record);
    return "damaged";
  }
  if (record.volumes.some((volume) => volumes.health.isUpSince(volume, sinceMs - limits.upBeforeMs))) return first;
  if (record.md5 === undefined) return first; // Nobody could tell.
  const isRight = await isFirstRight(store, key, record, pace);
  return isRight ? first : isRight === false ? "damaged" : undefined;
}

/** Whether the first recorded copy has the recorded MD5; undefined if that is not known. If not, somebody is to mend that. */
export async function isFirstRight(
  store: Store,
  key: Key,
  record: ValueRecord,
  pace: Pace | undefined,
): Promise<boolean | undefined> {
  if (record.md5 === undefined) return undefined;
  using _turn = await turns.enter();
  const md5 = await md5Of(store.volumes, record.volumes[0]!, pathOf(key), pace).catch(nothing);
  if (md5 === undefined) return undefined;
  if (md5 !== record.md5) await tellDamaged(store, key, record);
  return md5 === record.md5;
}

const turns = new Turns(limits.proofsAtOnce);

async function tellDamaged({ hints }: Store, key: Key, { md5 }: ValueRecord): Promise<void> {
  if (md5 !== undefined) await hints.add(key, { why: "damaged" }); // Without one nobody knows what is.
}

function nothing(error: unknown): undefined {
  if (!(error instanceof MkvError)) throw error;
}
