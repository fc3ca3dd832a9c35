// Owns what is remembered of buckets, which are the first segments of keys: that one was made, and when.
//   "bucket " name -> Bucket               in the ledger's memory
import { nowMs } from "../clock";
import { type Memory, entriesOf } from "../ledger/ledger";
import { limits } from "../limits";

/** Under which name a bucket is remembered. */
export const bucketPrefix = "bucket ";

type Bucket = { readonly createdMs: number };

/**
 * Buckets, as one thread sees them. Over a database that one is there holds for `freshMs`, though another thread or master
 * may delete it meanwhile.
 */
export class Buckets {
  readonly #thereUntilMs = new Map<string, number>();
  #deletions = 0;

  constructor(readonly memory: Memory) {}

  /** Whether one of this name was made. */
  async has(name: string): Promise<boolean> {
    const there = this.#thereUntilMs;
    if (nowMs() < (there.get(name) ?? 0)) return true;
    const deletions = this.#deletions;
    const found = this.memory.get(bucketPrefix + name);
    if ((await found) === undefined) return false;
    if (!(found instanceof Promise) || deletions !== this.#deletions) return true; // It may be gone soon, or by now.
    if (there.size >= limits.namesCounted) there.clear();
    there.set(name, nowMs() + limits.freshMs);
    return true;
  }

  async make(name: string): Promise<void> {
    await this.memory.put(bucketPrefix + name, { createdMs: Date.now() } satisfies Bucket);
  }

  async delete(name: string): Promise<void> {
    await this.memory.delete(bucketPrefix + name);
    this.#thereUntilMs.delete(name);
    this.#deletions++;
  }

  /** Those that were made, with the time at which they were, in milliseconds of the wall. */
  async *made(): AsyncGenerator<readonly [name: string, createdMs: number]> {
    for await (const [name, value] of entriesOf(this.memory, bucketPrefix))
      yield [name.slice(bucketPrefix.length), (value as Bucket).createdMs];
  }
}
