// Owns the commit of a delete.
// 1. The journal owes the volumes and the record goes, in one step: the commit. Nothing shows the key any more.
// 2. The volumes remove the file. Where one is down or does not confirm, it stays owed, and goes when it is back.
import { MkvError, hasCode } from "../errors";
import { type Key } from "../format/key";
import { rank } from "../format/placement";
import { union } from "../format/volume";
import { type Claim, type Entry } from "../ledger/ledger";
import { limits } from "../limits";
import { cleanUpCommitted } from "./cleanup";
import { owe, straysIn } from "./debts";
import { claimKey } from "./forward";
import { type Permit, type Store } from "./store";

/**
 * Deletes a key and its value for good.
 * @throws MkvError absent, busy, forbidden (protected), too-much-owed (without a `permit` the key is unlinked then); what
 * `permit` throws
 */
export async function deleteKey(store: Store, key: Key, permit?: Permit): Promise<void> {
  await using claim = await claimDeleted(store, key, permit); // 1.
  await cleanUpCommitted(store, claim, { waitMs: limits.patienceMs }); // 2.
}

async function claimDeleted(store: Store, key: Key, permit?: Permit): Promise<Claim> {
  const demand = (before: Entry) => {
    permit?.(before);
    const { record } = before;
    if (!record) throw new MkvError("absent", "there is no such key");
    if (store.protect && record.state === "live")
      throw new MkvError("forbidden", "protected: UNLINK the key before DELETE");
    return record;
  };
  try {
    return await claimKey(store, key, (before) => {
      const known = union(demand(before).volumes, straysIn(before.owed));
      const volumes = store.ledger.age === "older" ? union(known, rank(key, store.topology)) : known; // It may have been moved since.
      return { record: undefined, owed: owe(before.owed, volumes, { kind: "left-over" }) };
    });
  } catch (error) {
    // Who asks for a live one would not find it again, and its files would stay.
    if (!hasCode(error, "too-much-owed") || permit) throw error;
    await using claim = await claimKey(store, key);
    await claim.end({ record: { ...demand(claim.entry), state: "unlinked" }, owed: claim.entry.owed });
    throw new MkvError("too-much-owed", `${error.message}; the key is unlinked, DELETE it again later`, {
      cause: error,
    });
  }
}
