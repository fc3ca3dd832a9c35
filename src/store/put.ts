// Owns the commit of a write.
// 1. The claim: the journal owes the volumes that the value will go to. A crash from here on shows nothing; the next start
//    removes what reached a volume. Over an unlinked key the record forgets its hash first: its files are about to change.
// 2. The body goes to the volumes, as `transfer.ts` says.
// 3. If they are not the key's own, a hint says so. The record names the volumes whose copies are good: the commit. After a
//    crash the value is live.
// 4. What the key has elsewhere is removed; what cannot be reached stays owed. A write that failed ends the same way.
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { keysAbove, pathOf } from "../format/path";
import { rank } from "../format/placement";
import { type ValueRecord } from "../format/record";
import { union, without } from "../format/volume";
import { type Attributes, type Claim, type Entry } from "../ledger/ledger";
import { limits } from "../limits";
import { noRoomBeside } from "../volumes/stored";
import { requireAbsent } from "./older";
import { cleanUp, cleanUpCommitted } from "./cleanup";
import { landed, owe, straysIn } from "./debts";
import { claimKey } from "./forward";
import { replace, staging } from "./replace";
import { type Permit, type Store } from "./store";
import { type Incoming, Transfer, type Transferred, type Write } from "./transfer";

/**
 * Stores a value on its replicas and makes it live.
 * @param options.over what the value may take the place of: nothing that is live, or anything
 * @throws MkvError forbidden (exists), busy, conflict (with the file of another key), empty, bad-request (wrong MD5),
 * unavailable (too few volumes), unsupported (a volume cannot replace), client-gone, client-slow, failed (the index);
 * nothing is stored then
 */
export async function put(
  store: Store,
  key: Key,
  value: Incoming,
  { over = "nothing", permit }: { over?: "nothing" | "anything"; permit?: Permit | undefined } = {},
): Promise<Transferred> {
  const ranked = rank(key, store.topology);
  const { volumes, topology } = store;
  const likely = ranked.filter((volume) => volumes.health.isWritable(volume)).slice(0, topology.replicas);
  if (store.ledger.age !== "current") await requireAbsent(store, key, ranked);
  for (const other of keysAbove(key)) if (await store.ledger.get(other)) throw noRoomBeside(other);
  let before: Entry = { record: undefined, owed: [] };
  const isOver = () => before.record?.state === "live";
  const begin = (entry: Entry) => {
    before = entry;
    permit?.(entry);
    if (isOver() && over === "nothing")
      throw new MkvError("forbidden", "the key exists, and values never change: DELETE it first");
    if (isOver() && store.protect) throw new MkvError("forbidden", "protected: UNLINK the key before it is replaced");
    if (value.bytes === 0 && !value.mayBeEmpty) throw new MkvError("empty", "a value has at least one byte");
    return isOver() ? staging(entry, likely) : inFlight(entry, likely);
  };
  const sends = value.bytes !== undefined && value.bytes <= limits.shortBytes ? "short" : "streams";
  await using claim = await claimKey(store, key, begin, { expect: "nothing", sends }); // 1.
  const held = { ...store, volumes: volumes.within(claim) };
  const write = { value, ranked, likely, before };
  return await (isOver() ? replace(held, claim, write) : writeAbsent(held, claim, write));
}

/** The entry with these volumes about to be written to. */
function inFlight({ record, owed }: Entry, volumes: readonly string[]): Entry {
  const isHashed = record?.md5 !== undefined;
  return {
    record: isHashed ? { ...record, md5: undefined } : record,
    owed: owe(owed, volumes, { kind: "in-flight", forMs: limits.fenceOverMs }),
  };
}

/** A write of a key that is not live. */
async function writeAbsent(store: Store, claim: Claim, write: Write): Promise<Transferred> {
  const transfer = new Transfer(store, claim, { ...write, path: pathOf(claim.key), owing: inFlight });
  let stored: Transferred;
  try {
    stored = await transfer.run(); // 2.
    await commit(transfer, stored, write.value.attributes?.(stored)); // 3.
  } catch (error) {
    await rollBack(transfer);
    throw error;
  }
  if (claim.entry.owed.length > 0) await cleanUpCommitted(store, claim); // 4.
  return stored;
}

/** Whatever else the key has goes then: copies that failed, and those of an unlinked value. */
async function commit(transfer: Transfer, { volumes, md5 }: Transferred, attributes: Attributes = {}): Promise<void> {
  const { claim, store, way } = transfer;
  const record: ValueRecord = { state: "live", md5: store.md5sum ? md5 : undefined, volumes };
  const others = claim.entry.owed.filter(({ volume, kind }) => kind === "staged" || !volumes.includes(volume));
  const rest = landed(store, others, transfer.written());
  const old = without(union(way.before.record?.volumes ?? [], straysIn(rest)), volumes); // Strays are copies of it, too.
  const owed = old.length > 0 ? owe(rest, old, { kind: "left-over" }) : rest;
  if (owed.length === 0) await claim.end({ record, owed, attributes });
  else await claim.put({ record, owed, attributes });
}

/** Undoes what has been done: record and debts as they were, no file of this write on any volume that can be reached. */
async function rollBack(transfer: Transfer): Promise<void> {
  const { claim, store } = transfer;
  const { record: before, owed: earlier } = transfer.way.before;
  // A volume that was sent a part of it has stored nothing; a file of the unlinked value is whole there, and must stay.
  const volumes = transfer.written(({ sent }) => sent === "all" || (sent === "some" && !before));
  const isUntouched = !before?.volumes.some((volume) => volumes.includes(volume));
  const owed = claim.entry.owed.flatMap((debt) => {
    if (debt.kind !== "in-flight" || volumes.includes(debt.volume)) return [debt];
    return earlier.filter(({ volume, kind }) => kind !== "staged" && volume === debt.volume);
  });
  await claim.put({ record: isUntouched ? before : claim.entry.record, owed: landed(store, owed, volumes) });
  await cleanUp(store, claim);
}
