// Owns what this process believes of its volumes: passive, from every answer, and from the probe.
// 1. A server that failed to answer is down until it answers again.
// 2. One that fell silent over a write or delete (frozen, not refusing) may still hold that request: after it answers
//    again it is not written to for `settleMs`, and until its fence has passed, so that no stale write of a key lands after
//    a newer one.
// 3. A disk that refused a write (full, read-only) counts as down for writes for `fullMs`.
// 4. A disk that is not the one it was (foreign: see identity.ts) is neither written to nor asked for what it has.
// 5. One that was away, or is new, may be another: nothing is written to it before it has said who it is.
// Shared by all threads: a slot is some numbers, times by the clock that they share, each written whole.
import { nowMs } from "../clock";
import { type Topology, placesOf } from "../format/placement";
import { serverOf, volumeOf } from "../format/volume";
import { limits } from "../limits";

const fields = 14;
const heardAt = 0; // Minus infinity before the first answer.
const lostAt = 1; // 0: it is up.
const settledAt = 2;
const fullUntil = 3;
const foreign = 4; // 1: it is not the disk it was.
const fence = 5; // 0: not known; 1: it has one; 2: it has none.
const clockOffset = 6; // What its clock is ahead of ours, at least; not a number if its answers have no date.
const clockAt = 7; // When that was learnt.
const fencedUntil = 8; // Until then it may begin a change that it was silent about.
const stranger = 9; // Of which return it is that nobody has asked yet who it is; 0: of none.
const clockMost = 10; // What its clock is ahead of ours, at most.
const identity = 11; // The first 48 bits of the id that it had; 0 if that is not known.
const putBack = 12; // 1: it may have files of an earlier time.
const returnedAt = 13; // 0 before the first answer.

// The first slot is nobody's: it counts.
const returns = 0; // A whole number of 32 bits: threads add to it at once.
const foreigners = 1;
const watched = 2; // 1: somebody asks who comes back.

/** How far a server's clock is ahead of `nowMs`: its answers tell whole seconds, and take their time. */
export type Clock = { readonly leastMs: number; readonly mostMs: number };

/** What others may ask of it. */
export type Beliefs = Pick<
  Health,
  "returns" | "isKnown" | "isUp" | "isUpSince" | "isSettled" | "isWritable" | "isForeign" | "isFenced" | "isPutBack"
>;

/** The health of the configured volumes. A volume that is not configured has none: it always counts as up. */
export class Health {
  readonly #slots = new Map<string, number>();
  readonly #numbers: Float64Array;
  readonly #counts: Int32Array;
  /** Clocks of servers that are not configured and still have a copy of something. */
  readonly #strangers = new Map<string, { clock: Clock | undefined; atMs: number }>();

  /** @param shared from `Health.share`, the same for every thread of the process */
  constructor(
    readonly topology: Topology,
    shared: SharedArrayBuffer,
  ) {
    this.#numbers = new Float64Array(shared);
    this.#counts = new Int32Array(shared);
    for (const name of namesOf(topology)) this.#slots.set(name, (this.#slots.size + 1) * fields);
  }

  static share(topology: Topology): SharedArrayBuffer {
    const size = (namesOf(topology).size + 1) * fields;
    const shared = new SharedArrayBuffer(size * Float64Array.BYTES_PER_ELEMENT);
    const numbers = new Float64Array(shared);
    for (let slot = fields; slot < size; slot += fields) {
      numbers[slot + heardAt] = numbers[slot + clockAt] = Number.NEGATIVE_INFINITY;
      numbers[slot + clockOffset] = numbers[slot + clockMost] = Number.NaN;
    }
    return shared;
  }

  /** Differs whenever a server has come back: whoever sees another number looks again. */
  get returns(): number {
    return Atomics.load(this.#counts, returns);
  }

  /** The server of this volume has answered. */
  heard(volume: string): void {
    const server = serverOf(volume);
    const isNews = !this.isUp(server) || this.#get(server, heardAt) === Number.NEGATIVE_INFINITY;
    // First: another thread may rely on it at once. The number is its own: whoever has seen that asks after this return.
    if (isNews && this.#numbers[watched] === 1) this.#set(server, stranger, this.askAll());
    if (isNews || nowMs() - this.#get(server, heardAt) > limits.unheardMs) this.#set(server, returnedAt, nowMs());
    this.#set(server, heardAt, nowMs());
    if (!isNews) return;
    this.#set(server, lostAt, 0);
    if (this.#get(server, settledAt) === Number.POSITIVE_INFINITY)
      this.#set(server, settledAt, Math.max(nowMs() + limits.settleMs, this.#get(server, fencedUntil)));
    this.askAll(); // Last: who looked in between did not find it up.
  }

  /** The server of this volume has refused a connection, broken one off, or let a deadline pass. */
  lost(volume: string): void {
    if (this.isUp(volume)) this.#set(serverOf(volume), lostAt, nowMs());
  }

  /** The server of this volume has let the deadline of a change pass, that was sent then, by `nowMs`. */
  silent(volume: string, sentMs = Number.NEGATIVE_INFINITY): void {
    const server = serverOf(volume);
    if (this.isFenced(server) !== false)
      this.#set(server, fencedUntil, Math.max(this.#get(server, fencedUntil), sentMs + limits.fenceOverMs));
    this.#set(server, settledAt, Number.POSITIVE_INFINITY); // First: another thread may hear of it at once.
    this.lost(server);
  }

  /** The volume has refused a write for want of space or rights. */
  full(volume: string): void {
    this.#set(volume, fullUntil, nowMs() + limits.fullMs);
  }

  /** From now on somebody asks who comes back: until then nothing is written there. */
  watch(): void {
    this.#numbers[watched] = 1;
  }

  /** Somebody has asked a server who it is, as far as it says: after so many returns, or it has come back since. */
  met(server: string, returnsMet: number): void {
    if (this.#get(server, stranger) <= returnsMet) this.#set(server, stranger, 0);
  }

  /** Whether it has ever answered, and does so now. */
  isKnown(volume: string): boolean {
    return this.isUp(volume) && this.#get(serverOf(volume), heardAt) !== Number.NEGATIVE_INFINITY;
  }

  isUp(volume: string): boolean {
    return this.#get(serverOf(volume), lostAt) === 0;
  }

  /** Whether it has been up since then, by `nowMs`, as far as was seen: it has not lost power meanwhile. */
  isUpSince(volume: string, sinceMs: number): boolean {
    return this.isKnown(volume) && this.#get(serverOf(volume), returnedAt, Number.POSITIVE_INFINITY) <= sinceMs;
  }

  /** Whether it has answered so lately that there is no need to ask before relying on it. */
  isFresh(volume: string): boolean {
    const heardMs = this.#get(serverOf(volume), heardAt, Number.NEGATIVE_INFINITY);
    return this.isUp(volume) && nowMs() - heardMs < limits.freshMs;
  }

  /** Whether it is up, and no request that it was silent about can still be waiting in it. */
  isSettled(volume: string): boolean {
    const server = serverOf(volume);
    return this.isUp(server) && this.#get(server, stranger) === 0 && nowMs() >= this.#get(server, settledAt);
  }

  /** Whether it has refused a write lately. */
  isFull(volume: string): boolean {
    return nowMs() < this.#get(volume, fullUntil);
  }

  /** Whether a new write may go there: settled, not full, not foreign. */
  isWritable(volume: string): boolean {
    return this.isSettled(volume) && !this.isFull(volume) && !this.isForeign(volume);
  }

  /** Whether it is not the disk it was, or its volume is not the one it was. */
  isForeign(volume: string): boolean {
    if (this.#numbers[foreigners] === 0) return false;
    return this.#get(volume, foreign) !== 0 || this.#get(volumeOf(volume), foreign) !== 0;
  }

  /** Returns whether that is news. */
  setForeign(volume: string, isForeign: boolean): boolean {
    const slot = this.#slots.get(volume);
    if (slot === undefined || (this.#numbers[slot + foreign] === 1) === isForeign) return false;
    this.#numbers[slot + foreign] = isForeign ? 1 : 0;
    let count = 0;
    for (const each of this.#slots.values()) count += this.#numbers[each + foreign]!;
    this.#numbers[foreigners] = count;
    return true;
  }

  /** Whether it may have values of an earlier time: others are to be read first. */
  isPutBack(volume: string): boolean {
    return this.#get(volume, putBack) === 1;
  }

  setPutBack(volume: string, isPutBack: boolean): void {
    this.#set(volume, putBack, isPutBack ? 1 : 0);
  }

  /** The id by which it is known from now on. */
  setId(volume: string, id: string): void {
    this.#set(volume, identity, numberOf(id));
  }

  /** Whether it is known by an id, and not by this one; undefined stands for none. */
  isAnother(volume: string, id: string | undefined): boolean {
    const known = this.#get(volume, identity);
    return known !== 0 && (id === undefined || numberOf(id) !== known);
  }

  /** Has whoever looks after the volumes ask all of them at once who they are. Returns what `returns` is now. */
  askAll(): number {
    return Atomics.add(this.#counts, returns, 1) + 1;
  }

  /** Whether its server refuses changes that come late; undefined if that is not known yet. */
  isFenced(volume: string): boolean | undefined {
    const known = this.#get(serverOf(volume), fence);
    return known === 0 ? undefined : known === 1;
  }

  setFenced(server: string, isFenced: boolean): void {
    this.#set(server, fence, isFenced ? 1 : 2);
  }

  /** How far the server's clock is ahead of `nowMs`; undefined if it does not tell. */
  clockOf(server: string): Clock | undefined {
    if (!this.#slots.has(server)) return this.#strangers.get(server)?.clock;
    const leastMs = this.#get(server, clockOffset);
    return Number.isNaN(leastMs) ? undefined : { leastMs, mostMs: this.#get(server, clockMost) };
  }

  /** Whether the server was asked for its clock not long ago. */
  knowsClock(server: string): boolean {
    const strangerMs = this.#strangers.get(server)?.atMs ?? Number.NEGATIVE_INFINITY;
    return nowMs() - this.#get(server, clockAt, strangerMs) < limits.clockMs;
  }

  setClock(server: string, clock: Clock | undefined): void {
    this.#set(server, clockOffset, clock?.leastMs ?? Number.NaN);
    this.#set(server, clockMost, clock?.mostMs ?? Number.NaN);
    this.#set(server, clockAt, nowMs());
    if (this.#slots.has(server)) return;
    if (this.#strangers.size >= limits.strangers) this.#strangers.clear();
    this.#strangers.set(server, { clock, atMs: nowMs() });
  }

  #get(name: string, field: number, otherwise = 0): number {
    const slot = this.#slots.get(name);
    return slot === undefined ? otherwise : this.#numbers[slot + field]!;
  }

  #set(name: string, field: number, number: number): void {
    const slot = this.#slots.get(name);
    if (slot !== undefined) this.#numbers[slot + field] = number;
  }
}

const numberOf = (id: string) => Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16);

/** Servers, volumes and disks: each has a slot. So have disks that a volume may have had: there may be values until a rebalance. */
function namesOf(topology: Topology): Set<string> {
  const widest = { ...topology, subvolumes: Math.max(topology.subvolumes, limits.disksWatched) };
  return new Set(topology.volumes.flatMap((volume) => [serverOf(volume), ...placesOf(widest, volume)]));
}
