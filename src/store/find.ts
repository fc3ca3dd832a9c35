// Owns what needs no body and no job: finding, listing and unlinking keys.
import { withDeadline } from "../deadline";
import { MkvError, reasonOf } from "../errors";
import { type Key, prefixEnd } from "../format/key";
import { earlierPathOf, pathOf } from "../format/path";
import { place } from "../format/placement";
import { type ValueRecord, encodeRecord, leastBytesOf } from "../format/record";
import { sameVolumes, without } from "../format/volume";
import { type ShownEntry } from "../ledger/ledger";
import { limits } from "../limits";
import { type Volumes } from "../volumes/volumes";
import { claimKey } from "./forward";
import { type Store } from "./store";

/** Where a value can be read. */
export type Location = {
  readonly volume: string;
  readonly path: string;
  readonly record: ValueRecord;
  readonly balanced: boolean;
};

/**
 * Finds a volume, at random among those that answer, that holds the value of a key; undefined if the key is not live. At
 * once where nobody has to be asked.
 * @throws MkvError gone if every volume says that it holds no such file, unavailable if none holds it and some are silent
 */
export function locate(store: Store, key: Key): Location | undefined | Promise<Location | undefined> {
  const record = store.ledger.get(key);
  if (record instanceof Promise) return record.then((known) => locateRecord(store, key, known));
  return locateRecord(store, key, record);
}

function locateRecord(
  store: Store,
  key: Key,
  record: ValueRecord | undefined,
  at?: string,
): Location | undefined | Promise<Location | undefined> {
  if (record?.state !== "live") return undefined;
  const path = at ?? pathOf(key);
  const earlier = earlierPathOf(path);
  const balanced = sameVolumes(record.volumes, place(key, store.topology));
  const volume = pickVolume(record.volumes, store.volumes);
  const least = leastBytesOf(record.md5);
  const isTrusted = store.probe === "volume" && earlier === undefined && !store.volumes.health.isForeign(volume);
  const said = isTrusted || store.volumes.holds(volume, path, least);
  const location = { volume, path, record, balanced };
  if (said === true) return location;
  const found = findHolder(store, key, location, said);
  if (earlier === undefined) return found;
  return found.catch((error) => {
    if (!(error instanceof MkvError)) throw error;
    return locateRecord(store, key, record, earlier);
  });
}

/** Unlinks a key: it is not shown any more, its value stays. Throws MkvError absent, busy. */
export async function unlink(store: Store, key: Key): Promise<void> {
  await using _claim = await claimKey(store, key, ({ record, owed }) => {
    if (record?.state !== "live") throw new MkvError("absent", "there is no such key, or it is unlinked already");
    return { record: { ...record, state: "unlinked" }, owed };
  });
}

/** The keys that begin with `prefix`, from `start` on, in order, at most `atOnce` at a time, with their records. */
export function list(
  store: Store,
  { prefix, start }: { prefix: Uint8Array; start: Uint8Array },
  atOnce: number,
): AsyncIterable<readonly ShownEntry[]> {
  const from = Buffer.compare(start, prefix) > 0 ? start : prefix;
  return store.ledger.list({ start: from, end: prefixEnd(prefix) }, { atOnce });
}

/** The record of a key as it is written down; `damagedRecord` if it cannot be read. */
export async function recordText({ ledger }: Store, key: Key): Promise<string | undefined> {
  try {
    const record = await ledger.get(key);
    return record && encodeRecord(record);
  } catch {
    return damagedRecord;
  }
}

/** Stands for a record that cannot be read: no record is like this. */
export const damagedRecord = " ";

/** The location if its volume says so soon, or else with whichever volume says so first. */
async function findHolder(
  store: Store,
  key: Key,
  location: Location,
  said: Promise<boolean>,
): Promise<Location | undefined> {
  // One that is dead, or slow, says nothing: another may answer.
  const first = await withDeadline(limits.hedgeMs, said, slow).catch(() => undefined);
  if (first) return location;
  const { path, record } = location;
  const ask = async (volume: string) => {
    if (await store.volumes.holds(volume, path, leastBytesOf(record.md5))) return volume;
    throw new MkvError("absent", `${volume} has no copy`);
  };
  // What was put back may have the value before this one: it is asked when no other volume can tell.
  const putBack = record.volumes.filter((volume) => store.volumes.health.isPutBack(volume));
  const answers = without(record.volumes, putBack).map(ask);
  const later = putBack.map((volume) => Promise.allSettled(answers).then(() => ask(volume)));
  try {
    const holder = await Promise.any([...answers, ...later]);
    const now = first === false ? await store.ledger.get(key) : undefined;
    // A recorded volume has no copy, unless the key was being deleted or moved meanwhile.
    if (now?.state === "live" && sameVolumes(now.volumes, record.volumes)) store.hints.tell(key);
    return { ...location, volume: holder };
  } catch (error) {
    const now = await store.ledger.get(key);
    // It was moved, unlinked or deleted while the volumes were asked.
    if (now?.state !== "live" || !sameVolumes(now.volumes, record.volumes)) return await locateRecord(store, key, now);
    const holders = record.volumes.join(", ");
    const silent = (error as AggregateError).errors.filter(({ code }) => code !== "absent").map(reasonOf);
    if (silent.length === 0) throw new MkvError("gone", `the value is gone: none of ${holders} has it`);
    throw new MkvError("unavailable", `no volume with this value can be reached: ${silent.join("; ")}`);
  }
}

const slow = () => new MkvError("timeout", "it takes long");

/** One of these volumes at random. One that was put back comes after the others, one that is down or foreign last. */
export function pickVolume(candidates: readonly string[], { health }: Volumes): string {
  const start = Math.floor(Math.random() * candidates.length);
  let found: string | undefined;
  for (let i = 0; i < candidates.length; i++) {
    const volume = candidates[(start + i) % candidates.length]!;
    if (!health.isUp(volume) || health.isForeign(volume)) continue;
    if (!health.isPutBack(volume)) return volume;
    found ??= volume;
  }
  return found ?? candidates[start]!;
}
