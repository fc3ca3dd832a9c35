// Owns what a job may ask of whoever keeps the ledger: this process itself, or a master that runs (`master.ts`).
import { type Key } from "../format/key";
import { type RawEntry } from "../ledger/ledger";
import { type Depth } from "../store/copies";
import { type Healed, healKey } from "../store/heal";
import { moveKey } from "../store/move";
import { type OrphanSeen, lookAtOrphan } from "../store/orphan";
import { adoptPlace } from "../store/places";
import { type Store, recordText } from "../store/store";

/** Whoever keeps the ledger. What changes a key is done under its claim; all but `scan` and `getAll` throw MkvError busy. */
export type JobTarget = {
  /** All keys with their records, in order. */
  scan(): AsyncIterable<readonly RawEntry[]>;
  /** The records of these keys, at most `limits.batchRecords`, as they are written down; undefined where there is none. */
  getAll(keys: readonly Key[]): Promise<readonly (string | undefined)[]>;
  /** Brings a key to its volumes, a good copy on each. Throws MkvError absent, and what stands in the way. */
  move(key: Key, depth: Depth): Promise<{ changed: boolean; leftBehind: number }>;
  /** Looks at a key, repairs what is wrong, and forgets it if it is unlinked and lost, if asked to. */
  heal(key: Key, how: { depth: Depth; repair: boolean; forget: boolean }): Promise<Healed>;
  /** Looks at a file that the record of its key does not name. */
  orphan(key: Key, how: { volume: string; repair: boolean; remove: boolean }): Promise<OrphanSeen>;
  /** Takes a disk, or a volume with all its disks, for what it is now. */
  adopt(name: string): Promise<void>;
};

/** This process as the target. */
export function ownTarget(store: Store): JobTarget {
  return {
    scan: () => store.ledger.scan({}),
    getAll: (keys) => Promise.all(keys.map((key) => recordText(store, key))),
    async move(key, depth) {
      const { changed, leftBehind } = await moveKey(store, key, depth);
      return { changed, leftBehind: leftBehind.length };
    },
    heal: (key, how) => healKey(store, key, how),
    orphan: (key, how) => lookAtOrphan(store, key, how),
    adopt: (name) => adoptPlace(store, name),
  };
}

/** How many keys there are, for whoever shows how far a job is. */
export async function countKeys(target: JobTarget): Promise<number> {
  let count = 0;
  for await (const page of target.scan()) count += page.length;
  return count;
}
