// Owns the commit of a move: bringing one key to the volumes where it belongs, whole.
// 1. The journal owes the volumes that get a copy or lose one. A crash from here on leaves the record as it was; the
//    next start removes the new copies.
// 2. A good copy is streamed to every target that has none. A damaged copy is never the source, and on a target it is
//    replaced; where no copy is good, nothing is removed.
// 3. The record names the targets: the commit. After a crash the next start removes the old copies.
// 4. The copies elsewhere are removed. Where a volume does not confirm, the record goes on naming it.
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { place, sameVolumes } from "../format/placement";
import { type ValueRecord } from "../format/record";
import { belowServer, isConfigured, serverOf } from "../format/volume";
import { Upload } from "../volumes/upload";
import { head, isReady, remove } from "../volumes/volume";
import { copy } from "./copy";
import { isUnfinished, owe, reduce, removeFrom, settle, union, without } from "./debts";
import { type Store } from "./store";
import { type Depth, type Survey, survey } from "./survey";

/** What a move did. `leftBehind`: volumes that are neither configured nor reachable and may still hold a copy. */
export type Moved = { readonly changed: boolean; readonly leftBehind: readonly string[] };

/**
 * Brings a key to the volumes where it belongs, with a good copy on each; state and hash stay.
 * @throws MkvError absent, busy; gone, corrupt (no good copy), unavailable (a volume that is needed does not answer)
 */
export async function moveKey(store: Store, key: Key, depth: Depth = "length"): Promise<Moved> {
  using _lock = store.locks.take(key);
  await allReady(store, store.journal.debtOf(key)?.volumes ?? []);
  await settle(store, key);
  const record = await store.index.get(key);
  if (!record) throw new MkvError("absent", "there is no such key");
  if (isUnfinished(store, key, record))
    throw new MkvError("unavailable", "a write that was cut short waits to be taken back");
  const targets = place(key, store.topology);
  const ready = await allReady(store, targets);
  const asleep = targets.filter((_, i) => !ready[i]);
  if (asleep.length > 0) throw new MkvError("unavailable", `${asleep.join(", ")} does not answer`);
  const copies = await survey(store.volumes, key, record, { depth });
  if (copies.good.length === 0) return await withoutGood(store, key, record, { ...copies, depth });
  const unseen = [...copies.silent.keys()].filter((volume) => isConfigured(store.topology, volume));
  if (record.md5 === undefined && unseen.length > 0) {
    throw new MkvError(
      "unavailable",
      `${unseen.join(", ")} does not answer, and without an MD5 may have the only good copy`,
    );
  }
  const lacking = without(targets, copies.good);
  if (lacking.length === 0 && sameVolumes(record.volumes, targets)) return { changed: false, leftBehind: [] };

  const strays = without(record.volumes, targets);
  await requireDistinct(store, pathOf(key), { strays, newcomers: without(targets, record.volumes) });
  const touched = union(lacking, strays);
  await owe(store, { key, volumes: touched, marks: [] });
  try {
    if (touched.length > 0) await heal(store, key, record, { targets, copies });
    await store.index.put(key, { ...record, volumes: targets });
  } catch (error) {
    await settle(store, key);
    throw error;
  }
  await allReady(store, strays);
  const left = (await removeFrom(store, key, strays)).map(({ volume }) => volume);
  const waiting = left.filter((volume) => isConfigured(store.topology, volume));
  if (waiting.length > 0) await store.index.put(key, { ...record, volumes: [...targets, ...waiting] });
  await reduce(store, key, without(store.journal.debtOf(key)?.volumes ?? [], touched));
  if (waiting.length > 0) {
    throw new MkvError("unavailable", `moved, but ${waiting.join(", ")} did not confirm the removal of the old copy`);
  }
  return { changed: true, leftBehind: left };
}

/** Removes a key's file from a volume that its record does not name. Throws MkvError bad-request, busy, unavailable. */
export async function sweep(store: Store, key: Key, volume: string): Promise<void> {
  if (!isConfigured(store.topology, volume)) throw new MkvError("bad-request", `${volume} is not one of the volumes`);
  using _lock = store.locks.take(key);
  const record = await store.index.get(key);
  if (record?.volumes.includes(volume)) return;
  const [left] = await removeFrom(store, key, [volume]);
  if (left) throw new MkvError("unavailable", left.reason);
}

/**
 * Removes the record of an unlinked key of which no volume has anything: what an unfinished write or delete has left.
 * @throws MkvError busy, forbidden (there is something), unavailable (a volume does not answer)
 */
export async function forget(store: Store, key: Key): Promise<void> {
  using _lock = store.locks.take(key);
  const record = await store.index.get(key);
  if (!record) return;
  const { prints, silent } = await survey(store.volumes, key, record, { depth: "length" });
  if (record.state === "live" || prints.size > 0) throw new MkvError("forbidden", "the key is not a left-over");
  const [first] = silent.values();
  if (first) throw new MkvError("unavailable", first.message, { cause: first });
  await store.index.delete(key);
}

/** Whether a key, while nobody writes it, differs from its record, or lies where it does not belong. Throws MkvError busy. */
export async function isAmiss(store: Store, key: Key, depth: Depth): Promise<boolean> {
  using _lock = store.locks.take(key);
  const record = await store.index.get(key);
  if (!record) return false;
  const { good } = await survey(store.volumes, key, record, { depth });
  return good.length < record.volumes.length || !sameVolumes(record.volumes, place(key, store.topology));
}

/** Whether a volume, with the key locked, has a file that the record does not name. Throws MkvError busy, bad-request. */
export async function isOrphan(store: Store, key: Key, volume: string): Promise<boolean> {
  if (!isConfigured(store.topology, volume)) throw new MkvError("bad-request", `${volume} is not one of the volumes`);
  using _lock = store.locks.take(key);
  const record = await store.index.get(key);
  return !record?.volumes.includes(volume) && (await head(store.volumes, volume, pathOf(key))) !== undefined;
}

function allReady({ volumes: access }: Store, volumes: readonly string[]): Promise<boolean[]> {
  return Promise.all(volumes.map((volume) => isReady(access, volume)));
}

/**
 * A server under a new name would be given a copy of its own file, which then went as the stray.
 * @throws MkvError failed if a stray and a target are one and the same place
 */
async function requireDistinct(
  { volumes: access }: Store,
  path: string,
  { strays, newcomers }: { strays: readonly string[]; newcomers: readonly string[] },
): Promise<void> {
  for (const stray of strays) {
    const below = belowServer(stray);
    const twin = newcomers.find((volume) => belowServer(volume) === below);
    if (!twin || !access.health.isUp(stray) || !(await head(access, twin, path))) continue;
    const mark = `/mkv-same/check/${crypto.randomUUID()}`;
    const upload = new Upload(access, serverOf(stray), mark, { bytes: 1, date: new Date().toUTCString() });
    await upload.finish(new Uint8Array(1));
    const isSame = (await head(access, serverOf(twin), mark)) !== undefined;
    await remove(access, serverOf(stray), mark);
    if (isSame)
      throw new MkvError("failed", `${stray} and ${twin} are the same place: rebuild with its new name first`);
  }
}

/**
 * Streams a good copy to the targets that have none like it, and to those whose copy turned out to be damaged on the way.
 * The targets' own copies are tried first: they stay, so at least one that stays has been checked.
 */
async function heal(
  { volumes: access }: Store,
  key: Key,
  { md5 }: ValueRecord,
  { targets, copies }: { targets: readonly string[]; copies: Survey },
): Promise<void> {
  const expected = md5 === undefined ? { bytes: copies.bytes } : { md5 };
  const sources = md5 === undefined ? copies.good : [...copies.good, ...copies.odd];
  const damaged: string[] = [];
  let failure: unknown;
  for (const from of union(
    targets.filter((target) => sources.includes(target)),
    sources,
  )) {
    const isLike = (target: string) => copies.prints.get(target) === copies.prints.get(from);
    const to = targets.filter((target) => target !== from && (!isLike(target) || damaged.includes(target)));
    try {
      return await copy(access, pathOf(key), { from, to, expected });
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      if (error.code === "corrupt" || error.code === "absent") damaged.push(from);
      failure = error;
    }
  }
  throw failure;
}

/** What is left to do for a key of which no copy is good. */
async function withoutGood(
  store: Store,
  key: Key,
  record: ValueRecord,
  { depth, odd, silent }: Survey,
): Promise<Moved> {
  const where = record.volumes.join(", ");
  const [first] = silent.values();
  if (first) throw new MkvError("unavailable", `no good copy can be reached: ${first.message}`, { cause: first });
  if (odd.length === 0) {
    if (record.state === "unlinked") return { changed: false, leftBehind: [] }; // A leftover: nothing to move.
    throw new MkvError("gone", `no copy is left on ${where}`);
  }
  if (record.md5 === undefined)
    throw new MkvError("corrupt", `the copies on ${where} differ, and no MD5 tells which is good`);
  if (depth === "length")
    throw new MkvError("corrupt", `every copy is damaged, on ${where}: verify -md5 -repair sets them aside`);
  const aside = `/damaged${pathOf(key)}`;
  for (const volume of odd) {
    await copy(store.volumes, pathOf(key), { from: volume, to: [volume], as: aside, expected: {} });
    await remove(store.volumes, volume, pathOf(key));
  }
  throw new MkvError("corrupt", `no good copy is left; the damaged ones now lie at ${aside} on ${odd.join(", ")}`);
}
