// Owns the commit of a move: bringing one key to the volumes where it belongs, whole.
// 1. The journal owes the volumes that get a copy or lose one. A crash from here on leaves the record as it was; the
//    next start removes the new copies.
// 2. A good copy is streamed to every target that has none. Good is what has the recorded MD5, or without one the
//    length that most copies have; a damaged copy is never the source, and on a target it is replaced.
// 3. The record names the targets: the commit. After a crash the next start removes the old copies.
// 4. The copies elsewhere are removed. Where a volume does not confirm, the record goes on naming it.
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { place, sameVolumes } from "../format/placement";
import { type ValueRecord } from "../format/record";
import { type FileInfo, head } from "../volumes/volume";
import { copy } from "./copy";
import { owe, removeFrom, settle, union, without } from "./debts";
import { type Store } from "./store";

/** What a move did. `leftBehind`: volumes that are neither configured nor reachable and may still hold a copy. */
export type Moved = { readonly changed: boolean; readonly leftBehind: readonly string[] };

/**
 * Brings a key to the volumes where it belongs; state and hash stay.
 * @throws MkvError absent, busy; gone, corrupt (no good copy), unavailable (a volume that is needed does not answer)
 */
export async function moveKey(store: Store, key: Key): Promise<Moved> {
  using _lock = store.locks.take(key);
  await settle(store, key);
  const record = await store.index.get(key);
  if (!record) throw new MkvError("absent", "there is no such key");
  const targets = place(key, store.topology);
  const strays = without(record.volumes, targets);
  const copies = await survey(store, pathOf(key), { targets, recorded: record.volumes });
  if (copies.good.length === 0) {
    if (record.state === "unlinked") return { changed: false, leftBehind: [] }; // A leftover: nothing to move.
    throw new MkvError("gone", `no copy is left on ${record.volumes.join(", ")}`);
  }
  const lacking = without(targets, copies.good);
  if (lacking.length === 0 && sameVolumes(record.volumes, targets)) return { changed: false, leftBehind: [] };

  await owe(store, { key, volumes: union(lacking, strays) });
  try {
    if (lacking.length > 0 || strays.length > 0) await heal(store, key, record, { targets, lacking, ...copies });
    await store.index.put(key, { ...record, volumes: targets });
  } catch (error) {
    await settle(store, key);
    throw error;
  }
  const left = await removeFrom(store, key, strays);
  const waiting = left.filter((volume) => isConfigured(store, volume));
  if (waiting.length > 0) await store.index.put(key, { ...record, volumes: [...targets, ...waiting] });
  store.journal.settle(key);
  if (waiting.length > 0) {
    throw new MkvError("unavailable", `moved, but ${waiting.join(", ")} did not confirm the removal of the old copy`);
  }
  return { changed: true, leftBehind: left };
}

type Copies = {
  /** Volumes whose copy has the usual length, targets first. */
  readonly good: readonly string[];
  /** Volumes whose copy has another one. */
  readonly odd: readonly string[];
  readonly bytes: number;
};

/** Asks the volumes what they have. Throws MkvError unavailable if a target, or the last hope, does not answer. */
async function survey(
  { volumes: access }: Store,
  path: string,
  { targets, recorded }: { targets: readonly string[]; recorded: readonly string[] },
): Promise<Copies> {
  const sizes = new Map<string, number>();
  const silent: MkvError[] = [];
  await Promise.all(
    union(targets, recorded).map(async (volume) => {
      try {
        const info: FileInfo | undefined = await head(access, volume, path);
        if (info && info.bytes > 0 && recorded.includes(volume)) sizes.set(volume, info.bytes);
      } catch (error) {
        if (!(error instanceof MkvError)) throw error;
        if (targets.includes(volume)) throw new MkvError("unavailable", error.message, { cause: error });
        silent.push(error);
      }
    }),
  );
  if (sizes.size === 0 && silent.length > 0)
    throw new MkvError("unavailable", silent[0]!.message, { cause: silent[0] });
  const bytes = usual([...sizes.values()]);
  const holders = union(targets, recorded).filter((volume) => sizes.has(volume));
  const good = holders.filter((volume) => sizes.get(volume) === bytes);
  return { good, odd: without(holders, good), bytes };
}

/** Streams a good copy to the targets that lack one, and to those whose copy turns out to be damaged on the way. */
async function heal(
  { volumes: access }: Store,
  key: Key,
  { md5 }: ValueRecord,
  { targets, lacking, good, odd, bytes }: Copies & { targets: readonly string[]; lacking: readonly string[] },
): Promise<void> {
  const expected = md5 === undefined ? { bytes } : { md5 };
  const damaged: string[] = [];
  let failure: unknown;
  for (const from of md5 === undefined ? good : [...good, ...odd]) {
    const to = targets.filter((target) => target !== from && (lacking.includes(target) || damaged.includes(target)));
    try {
      return await copy(access, pathOf(key), { from, to, expected });
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      if (error.code === "corrupt" || error.code === "absent") damaged.push(from);
      failure = error;
    }
  }
  throw failure;
}

/** The most frequent of these numbers, the largest of several such; 0 of none. */
function usual(numbers: readonly number[]): number {
  const count = (number: number) => numbers.filter((other) => other === number).length;
  return numbers.reduce((best, number) => ((count(number) - count(best) || number - best) > 0 ? number : best), 0);
}

function isConfigured({ topology }: Store, volume: string): boolean {
  return topology.volumes.some((configured) => volume === configured || volume.startsWith(`${configured}/sv`));
}
