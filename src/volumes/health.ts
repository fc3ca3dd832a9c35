// Owns what this process believes of its volumes: passive, from every answer, and from the probe.
// 1. A server that failed to answer is down until it answers again.
// 2. One that fell silent over a write or delete (frozen, not refusing) may still hold that request: after it answers
//    again it is not written to for `settleMs`, and until its fence has passed, so that no stale write of a key lands after
//    a newer one.
// 3. A disk that refused a write (full, read-only) counts as down for writes for `fullMs`.
// 4. A disk that is not the one it was (foreign: see identity.ts) is neither written to nor asked for what it has.
// 5. One that was away may be another when it is back: nothing is written to it before it has said who it is. So with one
//    that answers for the first time.
// Shared by all threads: a slot is some numbers, times by the clock that they share, each written whole.
import { nowMs } from "../clock";
import { MkvError } from "../errors";
import { type Topology, subvolume } from "../format/placement";
import { serverOf, volumeOf } from "../format/volume";
import { limits } from "../limits";

const fields = 11;
const heardAt = 0; // Minus infinity before the first answer.
const lostAt = 1; // 0: it is up.
const settledAt = 2;
const fullUntil = 3;
const foreign = 4; // 1: it is not the disk it was.
const fence = 5; // 0: not known; 1: it has one; 2: it has none.
const clockOffset = 6; // What its clock is ahead of ours, at least; not a number if its answers have no date.
const clockAt = 7; // When that was learnt.
const fencedUntil = 8; // Until then it may begin a change that it was silent about.
const stranger = 9; // 1: it has come back, and nobody has asked yet who it is.
const clockMost = 10; // What its clock is ahead of ours, at most.

// The first slot is nobody's: it counts.
const returns = 0;
const foreigners = 1;
const watched = 2; // 1: somebody asks who comes back.

/** How far a server's clock is ahead of `nowMs`: its answers tell whole seconds, and take their time. */
export type Clock = { readonly leastMs: number; readonly mostMs: number };

/** The health of the configured volumes. A volume that is not configured has none: it always counts as up. */
export class Health {
  readonly #slots = new Map<string, number>();
  readonly #numbers: Float64Array;
  /** Clocks of servers that are not configured and still have a copy of something. */
  readonly #strangers = new Map<string, { clock: Clock | undefined; atMs: number }>();

  /** @param shared from `Health.share`, the same for every thread of the process */
  constructor(
    readonly topology: Topology,
    shared: SharedArrayBuffer,
  ) {
    this.#numbers = new Float64Array(shared);
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

  /** How often any server has come back: whoever sees another number looks again. */
  get returns(): number {
    return this.#numbers[returns]!;
  }

  /** The server of this volume has answered. */
  heard(volume: string): void {
    const slot = this.#slots.get(serverOf(volume));
    if (slot === undefined) return;
    const now = nowMs();
    const isFirst = this.#numbers[slot + heardAt] === Number.NEGATIVE_INFINITY;
    if (isFirst) this.#numbers[slot + stranger] = this.#numbers[watched]!;
    this.#numbers[slot + heardAt] = now;
    if (this.#numbers[slot + lostAt] === 0 && !isFirst) return;
    this.#numbers[slot + stranger] = this.#numbers[watched]!; // First: another thread may rely on it at once.
    this.#numbers[slot + lostAt] = 0;
    if (this.#numbers[slot + settledAt] === Number.POSITIVE_INFINITY)
      this.#numbers[slot + settledAt] = Math.max(now + limits.settleMs, this.#numbers[slot + fencedUntil]!);
    this.#numbers[returns]!++;
  }

  /** The server of this volume has refused a connection, broken one off, or let a deadline pass. */
  lost(volume: string): void {
    const slot = this.#slots.get(serverOf(volume));
    if (slot !== undefined && this.#numbers[slot + lostAt] === 0) this.#numbers[slot + lostAt] = nowMs();
  }

  /** The server of this volume has let the deadline of a change pass, that was sent then, by `nowMs`. */
  silent(volume: string, { sentMs = Number.NEGATIVE_INFINITY }: { sentMs?: number } = {}): void {
    const slot = this.#slots.get(serverOf(volume));
    if (slot === undefined) return;
    if (this.isFenced(serverOf(volume))) {
      this.#numbers[slot + fencedUntil] = Math.max(this.#numbers[slot + fencedUntil]!, sentMs + limits.fenceOverMs);
    }
    this.#numbers[slot + settledAt] = Number.POSITIVE_INFINITY; // First: another thread may hear of it at once.
    this.lost(volume);
  }

  /** The volume has refused a write for want of space or rights. */
  full(volume: string): void {
    const slot = this.#slots.get(volume);
    if (slot !== undefined) this.#numbers[slot + fullUntil] = nowMs() + limits.fullMs;
  }

  /** From now on somebody asks who comes back: until then nothing is written there. */
  watch(): void {
    this.#numbers[watched] = 1;
  }

  /** Somebody has asked the server of this volume who it is, as far as it says. */
  met(volume: string): void {
    const slot = this.#slots.get(serverOf(volume));
    if (slot !== undefined) this.#numbers[slot + stranger] = 0;
  }

  /** Whether it has ever answered, and does so now. */
  isKnown(volume: string): boolean {
    return this.isUp(volume) && this.#number(serverOf(volume), heardAt) !== Number.NEGATIVE_INFINITY;
  }

  isUp(volume: string): boolean {
    return this.#number(serverOf(volume), lostAt) === 0;
  }

  /** Whether it has answered so lately that there is no need to ask before relying on it. */
  isFresh(volume: string): boolean {
    const slot = this.#slots.get(serverOf(volume));
    if (slot === undefined || this.#numbers[slot + lostAt] !== 0) return false;
    return nowMs() - this.#numbers[slot + heardAt]! < limits.freshMs;
  }

  /** Whether it is up, and no request that it was silent about can still be waiting in it. */
  isSettled(volume: string): boolean {
    const slot = this.#slots.get(serverOf(volume));
    if (slot === undefined) return true;
    if (this.#numbers[slot + lostAt] !== 0 || this.#numbers[slot + stranger] !== 0) return false;
    return nowMs() >= this.#numbers[slot + settledAt]!;
  }

  /** Whether it has refused a write lately. */
  isFull(volume: string): boolean {
    return nowMs() < this.#number(volume, fullUntil);
  }

  /** Whether a new write may go there: settled, not full, not foreign. */
  isWritable(volume: string): boolean {
    return this.isSettled(volume) && !this.isFull(volume) && !this.isForeign(volume);
  }

  /** Whether it is not the disk it was, or its volume is not the one it was. */
  isForeign(volume: string): boolean {
    if (this.#numbers[foreigners] === 0) return false;
    return this.#number(volume, foreign) !== 0 || this.#number(volumeOf(volume), foreign) !== 0;
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

  /** Whether the server refuses changes that come late; undefined if that is not known yet. */
  isFenced(server: string): boolean | undefined {
    const known = this.#number(server, fence);
    return known === 0 ? undefined : known === 1;
  }

  setFenced(server: string, isFenced: boolean): void {
    const slot = this.#slots.get(server);
    if (slot !== undefined) this.#numbers[slot + fence] = isFenced ? 1 : 2;
  }

  /** How far the server's clock is ahead of `nowMs`; undefined if it does not tell. */
  clockOf(server: string): Clock | undefined {
    const slot = this.#slots.get(server);
    if (slot === undefined) return this.#strangers.get(server)?.clock;
    const leastMs = this.#numbers[slot + clockOffset]!;
    return Number.isNaN(leastMs) ? undefined : { leastMs, mostMs: this.#numbers[slot + clockMost]! };
  }

  /** Whether the server was asked for its clock not long ago. */
  knowsClock(server: string): boolean {
    const slot = this.#slots.get(server);
    const atMs = slot === undefined ? this.#strangers.get(server)?.atMs : this.#numbers[slot + clockAt];
    return atMs !== undefined && nowMs() - atMs < limits.clockMs;
  }

  setClock(server: string, clock: Clock | undefined): void {
    const slot = this.#slots.get(server);
    if (slot !== undefined) {
      this.#numbers[slot + clockOffset] = clock?.leastMs ?? Number.NaN;
      this.#numbers[slot + clockMost] = clock?.mostMs ?? Number.NaN;
      this.#numbers[slot + clockAt] = nowMs();
      return;
    }
    if (this.#strangers.size >= limits.strangers) this.#strangers.clear();
    this.#strangers.set(server, { clock, atMs: nowMs() });
  }

  #number(name: string, field: number): number {
    const slot = this.#slots.get(name);
    return slot === undefined ? 0 : this.#numbers[slot + field]!;
  }
}

/** Throws MkvError unavailable if the volume's disk is not the one it was. */
export function refuseForeign(health: Health, volume: string): void {
  if (health.isForeign(volume)) throw new MkvError("unavailable", `${volume} ${foreignWarning(volume)}`);
}

/** What is said of a volume whose disk is not the one it was, after its name. */
export function foreignWarning(volume: string, why?: "no id" | "another id"): string {
  const because = why === undefined ? "" : ` (${why})`;
  return `is not the disk it was${because}: if it was replaced, run "mkv adopt ${volume}"; if it is not mounted, mount it`;
}

/** Servers, volumes and disks: each has a slot. */
function namesOf({ volumes, subvolumes }: Topology): Set<string> {
  const names = new Set<string>();
  for (const volume of volumes) {
    names.add(serverOf(volume)).add(volume);
    for (let i = 0; i < subvolumes; i++) names.add(`${volume}/${subvolume(i)}`);
  }
  return names;
}
