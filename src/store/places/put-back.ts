// Owns what is remembered of places that may have files of an earlier time: they were put back from a backup of their own, were
// adopted with files, have lost writes with the power, or were left behind. Until a verify has read all copies, other places are
// read first.
// In the ledger's memory:
//   "noted" -> {"store", "counts": {place: {"last", "before"}}}    the counts of the store that each place has noted
//   "put-back " place -> {"id", "isEarlier"}      a new id whenever that is seen; whether it notes less than it had
// Earlier versions kept one count of a place, and the time "atMs" in place of the id: both are still read.
import { type Memory, entriesOf } from "../../ledger/ledger";
import { shaped } from "../../shape";
import { type Noted, type NotedMemory } from "../../volumes/epochs";

const notedName = "noted";
/** Before the names of such places. */
export const putBackPrefix = "put-back ";

type NotedCounts = { readonly store: string; readonly counts: Readonly<Record<string, Noted | number>> };
type PutBack = { readonly id: string; readonly isEarlier: boolean };

/** What is remembered of notes. */
export function notedIn(memory: Memory): NotedMemory {
  return {
    async counts(store) {
      const noted = shaped<NotedCounts>(await memory.get(notedName), { store: "", counts: {} });
      const counts = noted?.store === store ? Object.entries(noted.counts) : [];
      return new Map(
        counts.flatMap(([place, had]) => {
          const now = typeof had === "number" ? { last: had, before: had } : shaped<Noted>(had, { last: 0, before: 0 });
          return now ? [[place, now]] : [];
        }),
      );
    },
    async keep(store, counts) {
      await memory.put(notedName, { store, counts: Object.fromEntries(counts) } satisfies NotedCounts);
    },
    putEarlier: (place) => rememberPutBack(memory, place, { isEarlier: true }),
  };
}

/**
 * Remembers a place that may have files of an earlier time.
 * @param options.isEarlier whether that is known; of one that was adopted with files nobody knows of which time they are
 */
export async function rememberPutBack(
  memory: Memory,
  place: string,
  { isEarlier }: { isEarlier: boolean },
): Promise<void> {
  await memory.put(putBackPrefix + place, { id: crypto.randomUUID(), isEarlier } satisfies PutBack);
}

/** Remembers a place that has copies which nobody is to remove: if it comes back, they are of an earlier time. */
export async function rememberLeft(memory: Memory, place: string): Promise<void> {
  const seen = await memory.get(putBackPrefix + place);
  if (seen === undefined || !isEarlier(seen)) await rememberPutBack(memory, place, { isEarlier: true });
}

/** Forgets of a place what its files were: it is adopted without any. */
export async function forgetEmptied(memory: Memory, place: string): Promise<void> {
  await memory.delete(putBackPrefix + place);
}

/** The places that may have files of an earlier time; or those alone that are known to be as they were earlier. */
export async function putBackPlaces(memory: Memory, which: "all" | "earlier"): Promise<Set<string>> {
  const places = new Set<string>();
  for await (const [name, seen] of entriesOf(memory, putBackPrefix))
    if (which === "all" || isEarlier(seen)) places.add(name.slice(putBackPrefix.length));
  return places;
}

/** What has been seen of places that were put back, and not forgotten, by ids; of those that a job can look at. */
export async function putBackIds(memory: Memory, canLookAt: (place: string) => boolean): Promise<string[]> {
  const found = await Array.fromAsync(entriesOf(memory, putBackPrefix));
  return found.flatMap(([name, seen]) => (canLookAt(name.slice(putBackPrefix.length)) ? [idOf(seen)] : []));
}

/** Forgets what had been seen with these ids before all copies were read. */
export async function forgetPutBack(memory: Memory, ids: readonly string[]): Promise<void> {
  for await (const [name, seen] of entriesOf(memory, putBackPrefix))
    if (ids.includes(idOf(seen))) await memory.delete(name);
}

/** What is damaged counts as known to be earlier: nothing is carried over from there. */
function isEarlier(seen: unknown): boolean {
  const known = shaped<Partial<PutBack>>(seen, { "isEarlier?": false });
  return !known || known.isEarlier === true;
}

function idOf(seen: unknown): string {
  const { id, atMs } = shaped<Partial<PutBack> & { readonly atMs?: number }>(seen, { "id?": "", "atMs?": 0 }) ?? {};
  return id ?? String(atMs);
}
