// Owns what the rest of mkv asks of an index: records by key, in bytewise order. A shared index for several masters is
// to fit behind it; so nothing of LevelDB shows here, and reading may take time.
import { type Key } from "../format/key";
import { type ValueRecord } from "../format/record";

/** A key with its record. */
export type IndexEntry = { readonly key: Key; readonly record: ValueRecord };

/** A range of keys, bytewise: `start` inclusive, `end` exclusive; without one, unbounded on that side. */
export type KeyRange = { readonly start?: Uint8Array | undefined; readonly end?: Uint8Array | undefined };

/** Everything throws MkvError failed if the index cannot be read or written. */
export interface Index extends AsyncDisposable {
  get(key: Key): ValueRecord | undefined | Promise<ValueRecord | undefined>;
  put(key: Key, record: ValueRecord): Promise<void>;
  delete(key: Key): Promise<void>;
  /** Puts many records at once, all or none. */
  putAll(entries: readonly IndexEntry[]): Promise<void>;
  /** The records of a range in order, in pieces of bounded size, as they were when it began. */
  scan(range: KeyRange): AsyncIterable<IndexEntry[]>;
}
