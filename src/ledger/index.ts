// Owns what the rest of mkv asks of an index: records by key, in bytewise order. A shared index for several masters is
// to fit behind it; so nothing of LevelDB shows here, and reading may take time.
import { type Key } from "../format/key";
import { type ValueRecord } from "../format/record";

/** A key with its record. */
export type IndexEntry = { readonly key: Key; readonly record: ValueRecord };

/** A key with its record as it is written down: whoever scans many decodes what it needs (`format/record.ts`). */
export type RawEntry = readonly [key: Key, record: string];

/** A range of keys, bytewise: `start` inclusive, `end` exclusive; without one, unbounded on that side. */
export type KeyRange = { readonly start?: Uint8Array | undefined; readonly end?: Uint8Array | undefined };

/** Everything throws MkvError failed if the index cannot be read or written. */
export interface Index extends AsyncDisposable {
  get(key: Key): ValueRecord | undefined | Promise<ValueRecord | undefined>;
  put(key: Key, record: ValueRecord): Promise<void>;
  delete(key: Key): Promise<void>;
  /** Puts many records at once, all or none. */
  putAll(entries: readonly IndexEntry[]): Promise<void>;
  /**
   * A range in order, in pieces of bounded size, as it was when the scan began.
   * @param options.atOnce keys that are wanted at once, at most: a short list need not read further
   */
  scan(range: KeyRange, options?: { atOnce?: number }): AsyncIterable<readonly RawEntry[]>;
}
