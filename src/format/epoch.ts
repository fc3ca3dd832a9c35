// Owns the text that says how far a store has come: `/mkv/epoch` on volumes, `EPOCH` in the folder of an index.
//   epoch := store " " count "\n"        store: a UUID

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
