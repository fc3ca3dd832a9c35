// Owns what this process believes of its volume servers: passive, from every answer, and from the probe.
// 1. A server that failed to answer is down until it answers again.
// 2. One that fell silent over a write or delete (frozen, not refusing) may still hold that request: after it answers
//    again it is not written to for `settleMs`, so that a stale write of a key lands before a newer one is begun.
// 3. A disk that refused a write (full, read-only) counts as down for writes for `fullMs`.
// Shared by all threads: a slot is four numbers of milliseconds since the epoch, each written whole.
import { type Topology, subvolume } from "../format/placement";
import { serverOf } from "../format/volume";
import { limits } from "../limits";

const fields = 4;
const heardAt = 0;
const lostAt = 1;
const settledAt = 2;
const fullUntil = 3;

/** The health of the configured volumes. A volume that is not configured has none: it always counts as up. */
export class Health {
  readonly #slots = new Map<string, number>();
  readonly #times: Float64Array;

  /** @param shared from `Health.share`, the same for every thread of the process */
  constructor(topology: Topology, shared: SharedArrayBuffer = Health.share(topology)) {
    this.#times = new Float64Array(shared);
    for (const name of namesOf(topology)) this.#slots.set(name, this.#slots.size * fields);
  }

  static share(topology: Topology): SharedArrayBuffer {
    return new SharedArrayBuffer(namesOf(topology).size * fields * Float64Array.BYTES_PER_ELEMENT);
  }

  /** The server of this volume has answered. */
  heard(volume: string): void {
    const slot = this.#slots.get(serverOf(volume));
    if (slot === undefined) return;
    const now = Date.now();
    this.#times[slot + heardAt] = now;
    if (this.#times[slot + lostAt] === 0) return;
    this.#times[slot + lostAt] = 0;
    if (this.#times[slot + settledAt] === Number.POSITIVE_INFINITY)
      this.#times[slot + settledAt] = now + limits.settleMs;
  }

  /** The server of this volume has refused a connection, broken one off, or let a deadline pass. */
  lost(volume: string): void {
    const slot = this.#slots.get(serverOf(volume));
    if (slot !== undefined && this.#times[slot + lostAt] === 0) this.#times[slot + lostAt] = Date.now();
  }

  /** The server of this volume has let the deadline of a write or delete pass. */
  silent(volume: string): void {
    const slot = this.#slots.get(serverOf(volume));
    if (slot === undefined) return;
    this.#times[slot + settledAt] = Number.POSITIVE_INFINITY; // First: another thread may hear of it at once.
    this.lost(volume);
  }

  /** The volume has refused a write for want of space or rights. */
  full(volume: string): void {
    const slot = this.#slots.get(volume);
    if (slot !== undefined) this.#times[slot + fullUntil] = Date.now() + limits.fullMs;
  }

  isUp(volume: string): boolean {
    return this.#time(serverOf(volume), lostAt) === 0;
  }

  /** Whether it has answered so lately that there is no need to ask before relying on it. */
  isFresh(volume: string): boolean {
    return this.isUp(volume) && Math.abs(Date.now() - this.#time(serverOf(volume), heardAt)) < limits.freshMs;
  }

  /** Whether it is up, and no request that it was silent about can still be waiting in it. */
  isSettled(volume: string): boolean {
    return this.isUp(volume) && Date.now() >= this.#time(serverOf(volume), settledAt);
  }

  /** Whether a new write may go there: settled and not full. */
  isWritable(volume: string): boolean {
    return this.isSettled(volume) && Date.now() >= this.#time(volume, fullUntil);
  }

  #time(name: string, field: number): number {
    const slot = this.#slots.get(name);
    return slot === undefined ? 0 : this.#times[slot + field]!;
  }
}

function namesOf({ volumes, subvolumes }: Topology): Set<string> {
  const names = new Set<string>();
  for (const volume of volumes) {
    names.add(serverOf(volume)).add(volume);
    for (let i = 0; i < subvolumes; i++) names.add(`${volume}/${subvolume(i)}`);
  }
  return names;
}
