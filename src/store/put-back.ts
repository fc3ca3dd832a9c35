// Owns what is remembered of places that have files of an earlier time, maybe: they were put back from a backup of their own,
// were adopted with files, or have lost writes with the power. Until a verify has read all copies, others are read first.
//   "noted" -> {"store", "counts": {place: count}}      in the ledger's memory: which count of the store a place has noted last
//   "put-back " place -> {"atMs", "isEarlier"}          such a place, and when that was seen, in wall time; whether it says less
import { type Memory, entriesOf } from "../ledger/ledger";
import { type NotedMemory } from "../volumes/epochs";

const notedName = "noted";
const putBackPrefix = "put-back ";

type Noted = { readonly store: string; readonly counts: Readonly<Record<string, number>> };
type PutBack = { readonly atMs: number; readonly isEarlier: boolean };

/** What is remembered of notes. */
export function notedIn(memory: Memory): NotedMemory {
  return {
    async counts(store) {
      const noted = (await memory.get(notedName)) as Noted | undefined;
      return new Map(noted?.store === store ? Object.entries(noted.counts) : []);
    },
    async keep(store, counts) {
      await memory.put(notedName, { store, counts: Object.fromEntries(counts) } satisfies Noted);
    },
    async isEarlier(place) {
      await memory.put(putBackPrefix + place, { atMs: Date.now(), isEarlier: true } satisfies PutBack);
    },
  };
}

/** Remembers of a place that it was adopted with files: nobody knows of which time, or whether the store has heard of them. */
export async function hadFiles(memory: Memory, place: string): Promise<void> {
  await memory.put(putBackPrefix + place, { atMs: Date.now(), isEarlier: false } satisfies PutBack);
}

/** The places that may have files of an earlier time; or those alone that are known to be as they were earlier. */
export async function putBackPlaces(memory: Memory, which: "all" | "earlier"): Promise<Set<string>> {
  const places = new Set<string>();
  for await (const [name, seen] of entriesOf(memory, putBackPrefix))
    if (which === "all" || (seen as PutBack).isEarlier) places.add(name.slice(putBackPrefix.length));
  return places;
}

/** Forgets those that were seen before: since then all copies have been read. */
export async function forgetPutBack(memory: Memory, { beforeMs }: { beforeMs: number }): Promise<void> {
  for await (const [name, seen] of entriesOf(memory, putBackPrefix))
    if ((seen as PutBack).atMs < beforeMs) await memory.delete(name);
}
