// Owns the date of a write, which nginx makes the file's time: the same on all replicas, so that they agree in ETag and
// Last-Modified. nginx's ETag is made of that time, in seconds, and the length: two writes of one key never have the same
// second, so that no client takes bytes of one for the other's. The last second of each key is kept in a table that all
// threads share, by the hash of the key; keys that share a slot only make each other's dates a little later.
import { type Key } from "../format/key";
import { limits } from "../limits";

/** The dates of writes. */
export class WriteDates {
  readonly #seconds: Int32Array;

  /** @param shared from `WriteDates.share`, the same for every thread of the process */
  constructor(shared: SharedArrayBuffer = WriteDates.share()) {
    this.#seconds = new Int32Array(shared);
  }

  static share(): SharedArrayBuffer {
    const shared = new SharedArrayBuffer(limits.dateSlots * Int32Array.BYTES_PER_ELEMENT);
    new Int32Array(shared).fill(now()); // A process before this one may have written in this second.
    return shared;
  }

  /** The HTTP date of a write of this key that begins now. */
  next(key: Key): string {
    const slot = Number(Bun.hash.wyhash(key) % BigInt(limits.dateSlots));
    for (;;) {
      const last = Atomics.load(this.#seconds, slot);
      const second = Math.max(now(), last + 1);
      if (Atomics.compareExchange(this.#seconds, slot, last, second) === last)
        return new Date(second * 1000).toUTCString();
    }
  }
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}
