// Owns a file that the record of its key does not name: whether it is a copy that the record should name, left-over, or
// neither. It is never removed on the word of the index alone:
// 1. Where the record's own copies are not all whole, a file that is the value is a copy of it: the record gets its name.
// 2. A file goes if the record's own copies have just been seen, whole, on other volumes; or if there is no record, and the
//    ledger is known to lack nothing. And only if it was seen as an orphan an hour ago already: a file's own time may be
//    that of the value, which a move keeps.
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { leastBytesOf } from "../format/record";
import { isConfigured } from "../format/volume";
import { type Claim } from "../ledger/ledger";
import { limits } from "../limits";
import { type Inspected, inspectCopies, volumesIn } from "./copies";
import { md5Of } from "./copy";
import { cleanUp } from "./care";
import { owe } from "./debts";
import { claimSettled, claimUnchanged } from "./forward";
import { bringHome } from "./move";
import { ageOf, forgetOrphan } from "./orphan-memory";
import { type Store } from "./store";
import { union } from "./volume-lists";

/**
 * What became of a file. `accounted`: it is no orphan. `young`: not long enough known to be removed. `copy`: it is a good copy
 * of a key that lacks one. `kept`: it may not be removed, for the reason in `why`.
 */
export type OrphanSeen = {
  readonly state: "accounted" | "young" | "orphan" | "copy" | "kept" | "recorded" | "removed";
  readonly why?: string;
};

/** How a file is looked at. */
export type OrphanLook = {
  readonly volume: string;
  /** Whether a copy that the record lacks is recorded, and brought to where it belongs. */
  readonly repair?: boolean;
  /** Whether an orphan is removed. */
  readonly remove?: boolean;
  /** Whether it is only found out what would be done: what is told is `recorded` or `removed` all the same. */
  readonly dryRun?: boolean;
};

/** Claims a key to look at a file of it, with time to copy what it lacks. Throws MkvError bad-request, as `Ledger.claim`. */
export async function claimToLook(
  store: Store,
  key: Key,
  { volume, dryRun }: { volume: string; dryRun: boolean },
): Promise<Claim> {
  if (!isConfigured(store.topology, volume)) throw new MkvError("bad-request", `${volume} is not one of the volumes`);
  const claimed = dryRun ? claimUnchanged : claimSettled;
  return await claimed(store, key, (before) => before, { sends: dryRun ? "short" : "streams" });
}

/**
 * Looks at a file of this key on a volume, while nobody changes the key.
 * @throws MkvError bad-request (no volume of the store), busy, unavailable (a volume does not answer)
 */
export async function lookAtOrphan(
  store: Store,
  key: Key,
  { volume, repair = false, remove = false, dryRun = false }: OrphanLook,
): Promise<OrphanSeen> {
  await using claim = await claimToLook(store, key, { volume, dryRun });
  const { record } = claim.entry;
  const debts = await store.ledger.owedBy(key);
  const isOwed = debts.some((debt) => debt.volume === volume && debt.kind !== "staged");
  const file = record?.volumes.includes(volume) || isOwed ? undefined : await store.volumes.head(volume, pathOf(key));
  if (!file) return { state: "accounted" };
  if (record) {
    const seen = await inspectCopies(store.volumes, key, record, { depth: "length" });
    if (volumesIn(seen, "good").length < record.volumes.length) {
      if (!(await isCopy(store, claim, { volume, bytes: file.bytes, seen }))) {
        return { state: "kept", why: "differs from the value, whose own copies are not all whole" };
      }
      if (!repair) return { state: "copy" };
      if (!dryRun) await nameInRecord(store, claim, volume);
      return { state: "recorded" };
    }
  } else if (store.ledger.isBehind) {
    return { state: "kept", why: "may be the only copy: the index is older than the volumes, run rebuild" };
  }
  const ageMs = await ageOf(store.ledger.memory, volume + pathOf(key), { ...file, remember: !dryRun });
  if (ageMs < limits.orphanMs) return { state: "young" };
  if (!remove) return { state: "orphan" };
  if (dryRun) return { state: "removed" };
  const owed = owe(claim.entry.owed, [volume], { kind: record ? "stray" : "left-over" });
  await claim.put({ record, owed });
  const why = (await cleanUp(store, claim)).get(volume);
  if (why !== undefined) return { state: "kept", why };
  await forgetOrphan(store.ledger.memory, volume + pathOf(key));
  return { state: "removed" };
}

/** Whether a file is the value of a key that lacks a good copy. */
async function isCopy(
  { volumes }: Store,
  { key, entry }: Claim,
  { volume, bytes, seen }: { volume: string; bytes: number; seen: Inspected },
): Promise<boolean> {
  const { md5 } = entry.record!;
  if (bytes < leastBytesOf(md5)) return false;
  if (md5 !== undefined) return (await md5Of(volumes, volume, pathOf(key))) === md5;
  return seen.bytes === 0 ? volumesIn(seen, "unknown").length === 0 : bytes === seen.bytes;
}

/** Names the volume in the record of a claimed key, and brings the key home. */
export async function nameInRecord(store: Store, claim: Claim, volume: string): Promise<void> {
  const { record, owed } = claim.entry;
  await claim.put({ record: { ...record!, volumes: union(record!.volumes, [volume]) }, owed });
  const seen = await inspectCopies(store.volumes, claim.key, claim.entry.record!, { depth: "length" });
  await bringHome(store, claim, seen, { depth: "length" });
}
