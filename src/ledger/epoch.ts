// Owns how far the store has come, as its ledger remembers it, and volumes too (`volumes/epochs.ts`). What the ledger remembers
// goes on first: so volumes that say more have seen what it does not know. A copy of it was put back, then.
import { type Epoch } from "../format/epoch";
import { type Memory } from "./ledger";

/** Under which name it is remembered. */
export const epochName = "epoch";

/** What volumes have seen of this store beyond what its ledger remembers; undefined if nothing. */
export function furtherThan(own: unknown, seen: readonly Epoch[]): Epoch | undefined {
  const known = own as Epoch | undefined;
  return known && seen.find(({ store, count }) => store === known.store && count > known.count);
}

/** Goes on beyond all that was seen. Where nothing is remembered, this is the store that the volumes know. */
export async function goOn(memory: Memory, seen: readonly Epoch[]): Promise<Epoch> {
  const own = (await memory.get(epochName)) as Epoch | undefined;
  const store = own?.store ?? seen[0]?.store ?? crypto.randomUUID();
  const counts = seen.filter((other) => other.store === store).map(({ count }) => count);
  const epoch = { store, count: Math.max(own?.count ?? 0, ...counts) + 1 };
  await memory.put(epochName, epoch);
  return epoch;
}
