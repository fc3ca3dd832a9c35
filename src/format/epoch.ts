// Owns how far a store has come, as its ledger says, and volumes too.
// 1. The ledger goes on first: so volumes that say more have seen what it does not know. A copy of it was put back, then.
// 2. It goes on only after volumes were asked, right before they are told. A copy that went on by itself, in a job that changes
//    nothing, or while no volume answered, would come to say as much as they do.
// 3. One that is known to be older says what it said until it is rebuilt: wherever it is moved, it is found out again.
//   epoch := store " " count "\n"        store: a UUID; the text of `/mkv/epoch` on volumes, of `EPOCH` in the folder of an index

/** How far a store has come: the count goes on with each process that writes to it, and while it does. */
export type Epoch = { readonly store: string; readonly count: number };

const line = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) (\d{1,15})\n$/;

/** The longest there is, in bytes. */
export const epochBytes = 53;

export function encodeEpoch({ store, count }: Epoch): string {
  return `${store} ${count}\n`;
}

/** Undefined if this is none. */
export function readEpoch(text: string): Epoch | undefined {
  const [, store, count] = line.exec(text) ?? [];
  return store === undefined ? undefined : { store, count: Number(count) };
}

/** What volumes have seen of this store beyond what its ledger says; undefined if nothing. */
export function furtherThan(own: Epoch | undefined, seen: readonly Epoch[]): Epoch | undefined {
  return own && seen.find(({ store, count }) => store === own.store && count > own.count);
}

/** The furthest of this store that anybody knows. Where the ledger says nothing, this is the store that the volumes know. */
export function furthest(own: Epoch | undefined, seen: readonly Epoch[]): Epoch | undefined {
  const known = [...(own ? [own] : []), ...seen];
  const ofStore = known.filter(({ store }) => store === known[0]!.store);
  return ofStore.toSorted((a, b) => b.count - a.count)[0];
}

/** The one after this; the first one of a new store. */
export function after(epoch: Epoch | undefined): Epoch {
  return epoch ? { ...epoch, count: epoch.count + 1 } : { store: crypto.randomUUID(), count: 1 };
}
