// Owns the date of a write, which nginx makes the file's time: the same on all replicas, so that they agree in ETag and
// Last-Modified. nginx's ETag is made of that time, in seconds, and the length: two writes of one key never have the same
// second, so that no client takes bytes of one for the other's. The last second of each key is kept in a table that all
// threads share, by the hash of the key; keys that share a slot only make each other's dates a little later.
//
// A key that is written more than once a second is dated ahead of the clock. How far is remembered in the ledger first, so
// that the next process begins after it: a rebuild takes the later of two values for the one that was acknowledged last.
// It is remembered for each slot, so that other keys are not dated ahead as well; where these are many, once for all.
import { type Key } from "../format/key";
import { type Memory } from "../ledger/ledger";
import { limits } from "../limits";
import { shaped } from "../shape";

const PREFIX = "dates ";

/** The dates of writes, as one thread makes them. */
export class WriteDates {
  readonly #memory: Memory;
  readonly #name: string;
  readonly #seconds: Int32Array;
  /** Up to where the dates of this thread may run ahead of the clock. */
  #remembered = aheadIn(undefined);
  #saving: Promise<void> | undefined;

  /**
   * @param shared from `WriteDates.share`, the same for every thread of the process
   * @param thread its number, other than those of all other threads
   */
  constructor(memory: Memory, shared: SharedArrayBuffer, thread: number) {
    this.#memory = memory;
    this.#name = `${PREFIX}${thread}`;
    this.#seconds = new Int32Array(shared);
  }

  /** What the threads of a process share. Throws MkvError if the memory cannot be read. */
  static async share(memory: Memory): Promise<SharedArrayBuffer> {
    const shared = new SharedArrayBuffer(limits.dateSlots * Int32Array.BYTES_PER_ELEMENT);
    const seconds = new Int32Array(shared);
    const remembered = (await memory.page(PREFIX, { atMost: limits.threads })).map(([, found]) => aheadIn(found));
    // This second may have been used by a process that has just ended.
    seconds.fill(Math.max(now(), ...remembered.map(({ all }) => all)));
    for (const { slots } of remembered)
      for (const [slot, second] of slots) seconds[slot] = Math.max(seconds[slot] ?? 0, second);
    return shared;
  }

  /**
   * The HTTP date of a write of this key that begins now, also later than `after`, the date of the value whose place it
   * takes: another master may have written that, or another clock. Throws MkvError if it cannot be remembered.
   */
  async next(key: Key, after: string | undefined): Promise<string> {
    const second = Math.max(await this.#nextSecond(key), (Date.parse(after ?? "") || 0) / 1000 + 1);
    return new Date(second * 1000).toUTCString();
  }

  async #nextSecond(key: Key): Promise<number> {
    const slot = Number(Bun.hash.wyhash(key) % BigInt(limits.dateSlots));
    for (;;) {
      const last = Atomics.load(this.#seconds, slot);
      const second = Math.max(now(), last + 1);
      if (Atomics.compareExchange(this.#seconds, slot, last, second) !== last) continue;
      while (second > Math.max(now(), this.#remembered.all, this.#remembered.slots.get(slot) ?? 0))
        await (this.#saving ??= this.#save());
      return second;
    }
  }

  async #save(): Promise<void> {
    try {
      const { all, slots } = aheadIn(await this.#memory.get(this.#name)); // Of another master, perhaps.
      const nowS = now();
      for (const [slot, second] of slots) if (second <= nowS) slots.delete(slot);
      this.#seconds.forEach((second, slot) => {
        if (second > nowS) slots.set(slot, Math.max(second + limits.datesReserved, slots.get(slot) ?? 0));
      });
      const isMany = slots.size > limits.slotsRemembered;
      const latest = [...slots.values()].reduce((a, b) => Math.max(a, b), all);
      const ahead: Ahead = isMany ? { all: latest, slots: new Map() } : { all, slots };
      await this.#memory.put(this.#name, { all: ahead.all, slots: [...ahead.slots] });
      this.#remembered = ahead;
    } finally {
      this.#saving = undefined;
    }
  }
}

/** Up to which second dates may have run ahead of the clock: of all slots, and of some. */
type Ahead = { readonly all: number; readonly slots: Map<number, number> };

/** What is remembered; nothing of what is damaged. */
function aheadIn(remembered: unknown): Ahead {
  const found = shaped<{ all: number; slots: [number, number][] }>(remembered, { all: 0, slots: [[0]] });
  return { all: found?.all ?? 0, slots: new Map(found?.slots) };
}

function now(): number {
  return Math.floor(Date.now() / 1000);
}
