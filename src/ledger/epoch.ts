// Owns how far the store has come, as its ledger says, and volumes too (`volumes/epochs.ts`). The ledger goes on first: so
// volumes that say more have seen what it does not know. A copy of it was put back, then.
import { type Epoch } from "../format/epoch";

/** What volumes have seen of this store beyond what its ledger says; undefined if nothing. */
export function furtherThan(own: Epoch | undefined, seen: readonly Epoch[]): Epoch | undefined {
  return own && seen.find(({ store, count }) => store === own.store && count > own.count);
}

/** The next one beyond all that was seen. Where the ledger says nothing, this is the store that the volumes know. */
export function beyond(own: Epoch | undefined, seen: readonly Epoch[] = []): Epoch {
  const store = own?.store ?? seen[0]?.store ?? crypto.randomUUID();
  const counts = seen.filter((other) => other.store === store).map(({ count }) => count);
  return { store, count: Math.max(own?.count ?? 0, ...counts) + 1 };
}
