// Owns who may write a key: at most one request of all threads at a time. Readers take no lock.
// A table in shared memory: groups of slots, a slot holds 64 bits of the hash of a locked key or 0. A group is only
// touched by whoever holds its latch, for a few instructions, so that nobody ever waits for a key here: a key that is
// taken is refused at once. Two keys of equal hash (1 in 10^19) would refuse each other, never unlock each other.
import { MkvError } from "../../errors";
import { type Key } from "../../format/key";
import { limits } from "../../limits";
import { claimsOpen } from "../measures";

const words = 1 + 2 * limits.locksOfGroup;

export class KeyLocks {
  readonly #table: Int32Array;

  /** @param shared from `KeyLocks.share`, the same for every thread of the process */
  constructor(shared: SharedArrayBuffer = KeyLocks.share()) {
    this.#table = new Int32Array(shared);
  }

  static share(): SharedArrayBuffer {
    return new SharedArrayBuffer(limits.lockGroups * words * Int32Array.BYTES_PER_ELEMENT);
  }

  /** Takes the key until what it returns is disposed of; throws MkvError busy if it is taken. */
  take(key: Key): Disposable {
    const hash = Bun.hash.wyhash(key);
    const low = Number(BigInt.asIntN(32, hash)) || 1; // 0 marks a free slot.
    const high = Number(BigInt.asIntN(32, hash >> 32n));
    const group = (high >>> 0) % limits.lockGroups;
    const slot = this.#latched(group, () => this.#claim(group, low, high));
    if (slot === undefined) throw new MkvError("busy", "another write or delete of this key is under way");
    claimsOpen.add(1);
    return {
      [Symbol.dispose]: () => {
        this.#latched(group, () => void (this.#table[slot] = 0));
        claimsOpen.add(-1);
      },
    };
  }

  #claim(group: number, low: number, high: number): number | undefined {
    let free: number | undefined;
    const first = group * words + 1;
    for (let slot = first; slot < first + 2 * limits.locksOfGroup; slot += 2) {
      if (this.#table[slot] === 0) free ??= slot;
      else if (this.#table[slot] === low && this.#table[slot + 1] === high) return undefined;
    }
    if (free !== undefined) {
      this.#table[free] = low;
      this.#table[free + 1] = high;
    }
    return free;
  }

  #latched<T>(group: number, step: () => T): T {
    const latch = group * words;
    while (Atomics.compareExchange(this.#table, latch, 0, 1) !== 0);
    try {
      return step();
    } finally {
      Atomics.store(this.#table, latch, 0);
    }
  }
}
