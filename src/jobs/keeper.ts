// Owns what a job may ask of whoever keeps the index: this process itself, or a master that runs (`master.ts`).
import { type Key } from "../format/key";
import { type Index } from "../ledger/index";
import { forget, isAmiss, isOrphan, moveKey, sweep } from "../store/move";
import { type Store } from "../store/store";
import { type Depth } from "../store/survey";

/** The keeper of an index. What changes a key is done under its lock. */
export type Keeper = Pick<Index, "get" | "scan"> & {
  /** Brings a key to its volumes, a good copy on each; true if there was something to do. */
  move(key: Key, depth: Depth): Promise<{ changed: boolean; leftBehind: number }>;
  /** Whether a key, while nobody writes it, differs from its record or lies elsewhere. */
  isAmiss(key: Key, depth: Depth): Promise<boolean>;
  /** Whether a volume, while nobody writes the key, has a file that its record does not name. */
  isOrphan(key: Key, volume: string): Promise<boolean>;
  /** Removes a file of this key from a volume that its record does not name. */
  sweep(key: Key, volume: string): Promise<void>;
  /** Removes the record of an unlinked key whose files are gone. */
  forget(key: Key): Promise<void>;
};

/** This process as the keeper. */
export function ownKeeper(store: Store): Keeper {
  return {
    get: (key) => store.index.get(key),
    scan: (range) => store.index.scan(range),
    async move(key, depth) {
      const { changed, leftBehind } = await moveKey(store, key, depth);
      return { changed, leftBehind: leftBehind.length };
    },
    isAmiss: (key, depth) => isAmiss(store, key, depth),
    isOrphan: (key, volume) => isOrphan(store, key, volume),
    sweep: (key, volume) => sweep(store, key, volume),
    forget: (key) => forget(store, key),
  };
}
