// Owns how far the store has come, remembered beside the index, and on volumes too (`volumes/epochs.ts`). What is remembered here
// goes on first: so volumes that say more have seen what this index does not know.
import { type Epoch } from "../../format/epoch";
import { type Memory } from "../ledger";
import { type Beside } from "./beside";
import { type Reached } from "./reached";

const name = "epoch";

/** What volumes have seen of this store beyond what is remembered; undefined if nothing. */
export function furtherThan(memory: Beside, seen: readonly Epoch[]): Epoch | undefined {
  const own = memory.get(name) as Epoch | undefined;
  return own && seen.find(({ store, count }) => store === own.store && count > own.count);
}

/** Goes on beyond all that was seen. Where nothing is remembered, this is the store that the volumes know. */
export async function goOn(memory: Memory, seen: readonly Epoch[]): Promise<Epoch> {
  const own = (await memory.get(name)) as Epoch | undefined;
  const store = own?.store ?? seen[0]?.store ?? crypto.randomUUID();
  const counts = seen.filter((other) => other.store === store).map(({ count }) => count);
  const epoch = { store, count: Math.max(own?.count ?? 0, ...counts) + 1 };
  await memory.put(name, epoch);
  return epoch;
}

/** How far the store has come now: further with each call before which something was written. */
export function counting(memory: Memory, epoch: Epoch, reached: Reached): () => Promise<Epoch> {
  let [now, last] = [epoch, reached.last];
  return async () => {
    if (reached.last === last) return now;
    last = reached.last;
    now = { ...now, count: now.count + 1 };
    await memory.put(name, now);
    return now;
  };
}

/** Takes over how far a volume has seen the store. */
export async function jumpTo(memory: Memory, further: Epoch): Promise<void> {
  await memory.put(name, further);
}
