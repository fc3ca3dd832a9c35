// Owns how far the journals are known to have come, noted beside the index while they are written. Journals that end before
// that are a copy, made while they were written and put back: together with their index they look as a crash leaves them.
import { limits } from "../../limits";
import { type Memory } from "../ledger";
import { type Beside } from "./beside";

const name = "reached";

/** The highest number of a line that a crash does not take away, over the threads that share it. */
export class Reached {
  readonly #number: BigInt64Array;

  /** @param shared from `Reached.share`, the same for every thread of the process */
  constructor(shared: SharedArrayBuffer) {
    this.#number = new BigInt64Array(shared);
  }

  static share(last: number): SharedArrayBuffer {
    const shared = new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT);
    new BigInt64Array(shared)[0] = BigInt(last);
    return shared;
  }

  get last(): number {
    return Number(this.#number[0]);
  }

  /** A lower number from another thread may win: then less is known than could be, and nothing wrong. */
  reach(n: number): void {
    if (n > this.last) this.#number[0] = BigInt(n);
  }
}

/** What was noted last, if anything was. */
export function reachedBefore(memory: Beside): number | undefined {
  return memory.get(name) as number | undefined;
}

/** Notes how far the journals go that stay when the index has been closed. */
export async function noteRest(memory: Memory, last: number): Promise<void> {
  await memory.put(name, last);
}

/** Notes it now, and every now and then until this is disposed of. */
export async function noteReached(memory: Memory, reached: Reached): Promise<Disposable> {
  let noted = reached.last;
  await memory.put(name, noted);
  const timer = setInterval(() => {
    if (reached.last === noted) return;
    noted = reached.last;
    memory.put(name, noted).catch(() => {}); // The memory says so itself.
  }, limits.reachedMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
