// Owns a staged file (`forward.ts`) of which the journal knows nothing: it was lost, or the volume is an old copy of itself.
// What a client was told is stored lies at its place on volumes, too: such a file is needed only where those copies are lost.
// 1. With the key claimed no replacement is under way: one that is committed has been ended first, and what that leaves
//    staged is owed, and so not looked at here.
// 2. Where the recorded copies of a live value are not all whole, a file with its MD5 takes its place; another one stays.
// 3. Otherwise a file goes by the rules of what is owed (`care.ts`), if the ledger is known to lack nothing, and if it was
//    seen an hour ago already: the body of a replacement that nobody remembers may just have come.
import { type Key } from "../format/key";
import { type Claim } from "../ledger/ledger";
import { limits } from "../limits";
import { cleanUp } from "./care";
import { inspectCopies, volumesIn } from "./copies";
import { md5Of } from "./copy";
import { owe } from "./debts";
import { stagedPathOf } from "./forward";
import { moveIfSame } from "./late";
import { type OrphanLook, type OrphanSeen, claimToLook, nameInRecord } from "./orphan";
import { ageOf, forgetOrphan } from "./orphan-memory";
import { type Store } from "./store";

/**
 * Looks at what is staged of this key on a volume, while nobody changes the key.
 * @throws MkvError bad-request (no volume of the store), busy, unavailable (a volume does not answer)
 */
export async function lookAtStaged(
  store: Store,
  key: Key,
  { volume, repair = false, remove = false, dryRun = false }: OrphanLook,
): Promise<OrphanSeen> {
  await using claim = await claimToLook(store, key, { volume, dryRun });
  const debts = await store.ledger.owedBy(key);
  const isOwed = debts.some((debt) => debt.volume === volume && debt.kind === "staged");
  const path = stagedPathOf(key);
  const file = isOwed ? undefined : await store.volumes.head(volume, path);
  if (!file) return { state: "accounted" };
  if (store.ledger.isBehind) return { state: "kept", why: "the index is older than the volumes: run rebuild" };
  if (await lacksCopies(store, claim)) return await save(store, claim, { volume, repair, dryRun });
  const ageMs = await ageOf(store.ledger.memory, volume + path, { ...file, remember: !dryRun });
  if (ageMs < limits.orphanMs) return { state: "young" };
  if (!remove) return { state: "orphan" };
  if (dryRun) return { state: "removed" };
  const { record, owed } = claim.entry;
  await claim.put({ record, owed: owe(owed, [volume], { kind: "staged" }) });
  const why = (await cleanUp(store, claim)).get(volume);
  if (why !== undefined) return { state: "kept", why };
  await forgetOrphan(store.ledger.memory, volume + path);
  return { state: "removed" };
}

async function lacksCopies({ volumes }: Store, { key, entry: { record } }: Claim): Promise<boolean> {
  if (record?.state !== "live") return false;
  const seen = await inspectCopies(volumes, key, record, { depth: "length" });
  return volumesIn(seen, "good").length < record.volumes.length;
}

/** Brings the file to its place if it is the recorded value, of which copies are missing. */
async function save(
  store: Store,
  claim: Claim,
  { volume, repair, dryRun }: Required<Omit<OrphanLook, "remove">>,
): Promise<OrphanSeen> {
  const { md5 } = claim.entry.record!;
  const isValue = md5 !== undefined && (await md5Of(store.volumes, volume, stagedPathOf(claim.key))) === md5;
  if (!isValue) return { state: "kept", why: "is kept while the copies of the key are not all whole" };
  if (!repair) return { state: "copy" };
  if (dryRun) return { state: "recorded" };
  if (!(await moveIfSame(store.volumes.within(claim), claim.key, { volume, md5 })))
    return { state: "kept", why: "is the value, which lacks copies, and could not be moved to its place" };
  await nameInRecord(store, claim, volume);
  return { state: "recorded" };
}
