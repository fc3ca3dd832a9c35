// Owns the commit of a delete.
// 1. The journal owes the volumes, the index says unlinked: after a crash the next start completes the delete.
// 2. All volumes remove the file at once. Where one does not confirm, the key stays unlinked and a later DELETE goes on.
// 3. The record goes: the commit.
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { encodeRecord } from "../format/record";
import { isReady } from "../volumes/volume";
import { isUnfinished, owe, reduce, removeFrom, without } from "./debts";
import { type Store } from "./store";

/**
 * Deletes a key and its value for good.
 * @throws MkvError absent, busy, forbidden (protected), failed (a volume did not confirm: the key stays unlinked)
 */
export async function deleteKey(store: Store, key: Key): Promise<void> {
  using _lock = store.locks.take(key);
  const record = await store.index.get(key);
  if (!record || isUnfinished(store, key, record)) throw new MkvError("absent", "there is no such key");
  if (store.protect && record.state === "live")
    throw new MkvError("forbidden", "protected: UNLINK the key before DELETE");
  const unlinked = { ...record, state: "unlinked" as const };
  await owe(store, { key, volumes: record.volumes, marks: [encodeRecord(unlinked)] });
  await store.index.put(key, unlinked);

  await Promise.all(record.volumes.map((volume) => isReady(store.volumes, volume)));
  const left = await removeFrom(store, key, record.volumes);
  if (left.length === 0) await store.index.delete(key);
  await reduce(store, key, without(store.journal.debtOf(key)?.volumes ?? [], record.volumes));
  if (left.length > 0) {
    const reasons = left.map(({ reason }) => reason).join("; ");
    throw new MkvError("failed", `${reasons}: the key is unlinked, DELETE it again later`);
  }
}
