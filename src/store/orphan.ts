// Owns a file on a volume that neither the record of its key nor a debt accounts for: an orphan, at the place of the value or
// staged (`forward.ts`). It is never removed on the word of the index alone:
// 1. Where the record's own copies are not all whole, a file that is the value is a copy of it: the record gets its name, and
//    one that is staged takes its place. Any other file stays.
// 2. A file goes if the record's own copies have just been seen, whole, on other volumes; or if there is no record, and the
//    ledger is known to lack nothing. And only if it was seen as an orphan an hour ago already: a file's own time may be
//    that of the value, which a move keeps, and the body of a replacement that nobody remembers may just have come.
// 3. With the key claimed no replacement is under way: one that is committed has been ended first, and what that leaves
//    staged is owed. A staged file is needed only where copies are lost: what is acknowledged lies at its place.
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { leastBytesOf } from "../format/record";
import { isConfigured } from "../format/volume";
import { type Claim } from "../ledger/ledger";
import { limits } from "../limits";
import { cleanUp } from "./care";
import { type Inspected, inspectCopies, isWhole, volumesIn } from "./copies";
import { md5Of } from "./copy";
import { owe } from "./debts";
import { asItIs, claimSettled, stagedPathOf } from "./forward";
import { moveIfSame } from "./late";
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

/** Which file is looked at, and how. */
export type OrphanLook = {
  readonly volume: string;
  /** Where it lies: at the place of the value, or staged. */
  readonly place: "orphan" | "staged";
  /** Whether a copy that the record lacks is recorded, and brought to where it belongs. */
  readonly repair: boolean;
  /** Whether an orphan is removed. */
  readonly remove: boolean;
  /** Whether it is only found out what would be done: what is told is `recorded` or `removed` all the same. */
  readonly dryRun: boolean;
};

/**
 * Looks at a file of this key on a volume, while nobody changes the key.
 * @throws MkvError bad-request (no volume of the store), busy, unavailable (a volume does not answer)
 */
export async function lookAtOrphan(store: Store, key: Key, look: OrphanLook): Promise<OrphanSeen> {
  const { volume, place, repair, remove, dryRun } = look;
  if (!isConfigured(store.topology, volume)) throw new MkvError("bad-request", `${volume} is not one of the volumes`);
  await using claim = await claimSettled(store, key, asItIs, { dryRun, sends: "streams" });
  const { record } = claim.entry;
  const isStaged = place === "staged";
  const path = isStaged ? stagedPathOf(key) : pathOf(key);
  const debts = await store.ledger.owedBy(key);
  const isOwed = debts.some((debt) => debt.volume === volume && (debt.kind === "staged") === isStaged);
  const isNamed = !isStaged && record?.volumes.includes(volume);
  const file = isOwed || isNamed ? undefined : await store.volumes.head(volume, path);
  if (!file) return { state: "accounted" };
  if (store.ledger.isBehind && (isStaged || !record))
    return { state: "kept", why: "may be the only copy: the index is older than the volumes, run rebuild" };
  if (record && (record.state === "live" || !isStaged)) {
    const seen = await inspectCopies(store.volumes, key, record, { depth: "length" });
    if (!isWhole(seen)) {
      if (!(await isCopy(store, claim, { volume, path, bytes: file.bytes, seen })))
        return { state: "kept", why: "is not known to be the value, whose own copies are not all whole" };
      if (!repair) return { state: "copy" };
      if (!dryRun && isStaged && !(await moveIfSame(store.volumes.within(claim), key, { volume, md5: record.md5! })))
        return { state: "kept", why: "is the value, which lacks copies, and could not be moved to its place" };
      if (!dryRun) await nameInRecord(store, claim, volume);
      return { state: "recorded" };
    }
  }
  const ageMs = await ageOf(store.ledger.memory, volume + path, { ...file, remember: !dryRun });
  if (ageMs < limits.orphanMs) return { state: "young" };
  if (!remove) return { state: "orphan" };
  if (dryRun) return { state: "removed" };
  const kind = isStaged ? "staged" : record ? "stray" : "left-over";
  await claim.put({ record, owed: owe(claim.entry.owed, [volume], { kind }) });
  const why = (await cleanUp(store, claim)).get(volume);
  if (why !== undefined) return { state: "kept", why };
  await forgetOrphan(store.ledger.memory, volume + path);
  return { state: "removed" };
}

/** Whether a file is the value of a key that lacks a good copy. Of what is staged only the MD5 tells. */
async function isCopy(
  { volumes }: Store,
  { key, entry }: Claim,
  { volume, path, bytes, seen }: { volume: string; path: string; bytes: number; seen: Inspected },
): Promise<boolean> {
  const { md5 } = entry.record!;
  if (bytes < leastBytesOf(md5)) return false;
  if (md5 !== undefined) return (await md5Of(volumes, volume, path)) === md5;
  if (path !== pathOf(key)) return false;
  return seen.bytes === 0 ? volumesIn(seen, "unknown").length === 0 : bytes === seen.bytes;
}

/** Names the volume in the record of a claimed key, and brings the key home. */
async function nameInRecord(store: Store, claim: Claim, volume: string): Promise<void> {
  const { record, owed } = claim.entry;
  await claim.put({ record: { ...record!, volumes: union(record!.volumes, [volume]) }, owed });
  const seen = await inspectCopies(store.volumes, claim.key, claim.entry.record!, { depth: "length" });
  await bringHome(store, claim, seen, { depth: "length" });
}
