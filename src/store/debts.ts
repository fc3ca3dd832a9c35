// Owns the paying of debts: what an unfinished write, delete or move has left on the volumes is removed, and a record that
// only stood for it is forgotten. Used by every operation at its end, and for those that a crash cut short.
// 1. A debt is only paid by whoever holds the lock of its key.
// 2. A volume that the record names, unless that record is the unfinished one, is not touched.
// 3. A volume is only believed when it has confirmed. One that is down or was silent a moment ago is not asked: a
//    request that it still holds could bring the file back.
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { isConfigured } from "../format/volume";
import { type ValueRecord, encodeRecord } from "../format/record";
import { type Debt, merged } from "../ledger/level/journal";
import { limits } from "../limits";
import { MkvError, reasonOf } from "../errors";
import { isAwake, remove } from "../volumes/volume";
import { type Store } from "./store";

/** Adds to what is owed for this key. Throws MkvError unavailable if more is owed already than can be remembered. */
export async function owe(store: Store, debt: Debt): Promise<void> {
  const earlier = store.journal.debtOf(debt.key);
  if (!earlier && store.journal.size >= limits.debts) {
    throw new MkvError(
      "unavailable",
      `${limits.debts} unfinished writes wait for volumes that are down: bring those back first`,
    );
  }
  await store.journal.owe(merged(debt, earlier));
}

/**
 * Whether a record only stands for a write that was never acknowledged. The key must be locked. A record with a hash is
 * not looked at: at worst it stands for a delete, and staying unlinked is how a delete that failed ends as well.
 */
export function isUnfinished({ journal }: Store, key: Key, record: ValueRecord): boolean {
  return record.state === "unlinked" && record.md5 === undefined && journal.isMark(key, encodeRecord(record));
}

/** Pays what is owed for this key, as far as the volumes can be reached; the rest stays owed. The key must be locked. */
export async function settle(store: Store, key: Key): Promise<void> {
  const debt = store.journal.debtOf(key);
  if (!debt) return;
  const record = await store.index.get(key);
  const isUnfinished = record !== undefined && debt.marks.includes(encodeRecord(record));
  const owned = isUnfinished ? [] : (record?.volumes ?? []);
  const owed = await removeFrom(store, key, without(debt.volumes, owned));
  const left = owed.map(({ volume }) => volume).filter((volume) => isConfigured(store.topology, volume)); // Others are gone.
  const marks = isUnfinished ? debt.marks : []; // A mark that was passed by must never fit a later record.
  const isSame = left.length === debt.volumes.length && marks.length === debt.marks.length;
  if (left.length > 0) return isSame ? undefined : await store.journal.owe({ key, volumes: left, marks });
  if (isUnfinished) await store.index.delete(key);
  await store.journal.settle(key);
}

/** Owes no more than these volumes for this key, and pays that. The key must be locked. */
export async function reduce(store: Store, key: Key, volumes: readonly string[]): Promise<void> {
  if (volumes.length === 0) return await store.journal.settle(key);
  await store.journal.owe({ key, volumes, marks: [] });
  await settle(store, key);
}

/** Pays all debts that can be paid now, until stopped; returns how many wait for a volume. Throws the first failure, at the end. */
export async function settleAll(store: Store, stop: AbortSignal): Promise<number> {
  let waiting = 0;
  let failure: unknown;
  for (const { key, volumes } of store.journal.debts) {
    if (stop.aborted) break;
    if (volumes.length > 0 && !volumes.some((volume) => store.volumes.health.isSettled(volume))) {
      waiting++;
      continue;
    }
    try {
      using _lock = store.locks.take(key);
      await settle(store, key);
      if (store.journal.debtOf(key)) waiting++;
    } catch (error) {
      if (!(error instanceof MkvError && error.code === "busy")) failure ??= error; // In use: its own end will settle it.
    }
  }
  if (failure) throw failure;
  return waiting;
}

/** Removes a key's file from these volumes at once; those that did not confirm are returned, with the reason. */
export async function removeFrom(store: Store, key: Key, volumes: readonly string[]): Promise<Unconfirmed[]> {
  const path = pathOf(key);
  const access = { ...store.volumes, voltimeoutMs: limits.confirmMs };
  const results = await Promise.all(
    volumes.map(async (volume): Promise<Unconfirmed | undefined> => {
      if (!access.health.isUp(volume)) await isAwake(store.volumes, volume);
      if (!access.health.isSettled(volume)) return { volume, reason: `${volume} is down` };
      return await remove(access, volume, path).then(
        () => undefined,
        (error) => ({ volume, reason: reasonOf(error) }),
      );
    }),
  );
  return results.filter((result) => result !== undefined);
}

/** A volume on which a file may still be. */
export type Unconfirmed = { readonly volume: string; readonly reason: string };

/** The volumes of both lists, each once, in order. */
export function union(a: readonly string[], b: readonly string[]): string[] {
  return [...new Set([...a, ...b])];
}

/** The volumes of `a` that are not in `b`. */
export function without(a: readonly string[], b: readonly string[]): string[] {
  return a.filter((volume) => !b.includes(volume));
}
