// Owns what is remembered of buckets, which are the first segments of keys: that one was made, and when.
//   "bucket " name -> Bucket               in the ledger's memory
import { nowMs } from "../clock";
import { type Memory, entriesOf } from "../ledger/ledger";
import { limits } from "../limits";
import { shaped } from "../shape";

/** Under which name a bucket is remembered. */
export const bucketPrefix = "bucket ";

type Bucket = { readonly createdMs: number };

/** Buckets, as one thread sees them: that one is there holds for `freshMs`, though another master may delete it meanwhile. */
export class Buckets {
  /** Holds until any thread of the process has deleted one. */
  readonly #thereUntilMs = new Map<string, number>();
  readonly #deletions: Int32Array;
  #knownDeletions = 0;

  constructor(
    readonly memory: Memory,
    shared: SharedArrayBuffer,
  ) {
    this.#deletions = new Int32Array(shared);
  }

  /** What all threads of a process share. */
  static share(): SharedArrayBuffer {
    return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  }

  /** Whether one of this name was made. */
  async has(name: string): Promise<boolean> {
    const there = this.#thereUntilMs;
    const deletions = Atomics.load(this.#deletions, 0);
    if (deletions !== this.#knownDeletions) there.clear();
    this.#knownDeletions = deletions;
    if (nowMs() < (there.get(name) ?? 0)) return true;
    if ((await this.memory.get(bucketPrefix + name)) === undefined) return false;
    if (deletions !== Atomics.load(this.#deletions, 0)) return true; // It may be gone by now.
    if (there.size >= limits.namesCounted) there.clear();
    there.set(name, nowMs() + limits.freshMs);
    return true;
  }

  async make(name: string): Promise<void> {
    await this.memory.put(bucketPrefix + name, { createdMs: Date.now() } satisfies Bucket);
  }

  async delete(name: string): Promise<void> {
    await this.memory.delete(bucketPrefix + name);
    Atomics.add(this.#deletions, 0, 1);
  }

  /** Those that were made, with the time at which they were, in milliseconds of the wall. */
  async *made(): AsyncGenerator<readonly [name: string, createdMs: number]> {
    for await (const [name, value] of entriesOf(this.memory, bucketPrefix))
      yield [name.slice(bucketPrefix.length), shaped<Bucket>(value, { createdMs: 0 })?.createdMs ?? 0];
  }
}
