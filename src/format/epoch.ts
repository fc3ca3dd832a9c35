// Owns how far a store has come, as its ledger says, and volumes too. The ledger goes on first: so volumes that say more have
// seen what it does not know. A copy of it was put back, then.
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

/** The next one beyond all that was seen. Where the ledger says nothing, this is the store that the volumes know. */
export function beyond(own: Epoch | undefined, seen: readonly Epoch[] = []): Epoch {
  const store = own?.store ?? seen[0]?.store ?? crypto.randomUUID();
  const counts = seen.filter((other) => other.store === store).map(({ count }) => count);
  return { store, count: Math.max(own?.count ?? 0, ...counts) + 1 };
}
