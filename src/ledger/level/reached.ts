// Owns what the journals of all threads count together: the numbers of their lines; the keys that owe something; how far the
// lines are known to have come, which is noted beside the index while they are written. Journals that end before that are a
// copy, made while they were written and put back: together with their index they look as a crash leaves them.
import { limits } from "../../limits";
import { type Memory } from "../ledger";

/** Under this name the memory has how far the journals had come when that was noted last. */
export const reachedName = "reached";

/** Over the threads that share them: the next number of a line, the highest that a crash does not take away, and the keys that owe. */
export class LineNumbers {
  readonly #numbers: BigInt64Array;

  /** @param shared from `LineNumbers.share`, the same for every thread of the process */
  constructor(shared: SharedArrayBuffer) {
    this.#numbers = new BigInt64Array(shared);
  }

  static share(last: number): SharedArrayBuffer {
    const shared = new SharedArrayBuffer(3 * BigInt64Array.BYTES_PER_ELEMENT);
    new BigInt64Array(shared).set([BigInt(last + 1), BigInt(last)]);
    return shared;
  }

  /** A number for a line: it orders what is written of one key. */
  next(): number {
    return Number(Atomics.add(this.#numbers, 0, 1n));
  }

  get reached(): number {
    return Number(this.#numbers[1]);
  }

  /** How many keys owe something: one that does so to two threads counts twice. */
  get owing(): number {
    return Number(this.#numbers[2]);
  }

  /** There are so many more keys that owe something. */
  addOwing(keys: number): void {
    Atomics.add(this.#numbers, 2, BigInt(keys));
  }

  /** A lower number from another thread may win: then less is known than could be, and nothing wrong. */
  reach(n: number): void {
    if (n > this.reached) this.#numbers[1] = BigInt(n);
  }
}

/** Notes how far they have come now, and every now and then until this is disposed of. */
export async function noteReached(memory: Memory, numbers: LineNumbers): Promise<Disposable> {
  let noted = numbers.reached;
  await memory.put(reachedName, noted);
  return setInterval(() => {
    if (numbers.reached === noted) return;
    noted = numbers.reached;
    memory.put(reachedName, noted).catch(() => {}); // The memory says so itself.
  }, limits.reachedMs).unref();
}
