// Owns which keys are to be brought home: hints, which outlive the process.
//   "heal " key in hex mark? -> Hint        in the ledger's memory; mark := "!missing" | "!damaged"
//   "hints left out" -> LeftOut             that there was no room for some, until a rebalance has gone over all keys
// 1. A hint only says where to look. What is wrong with a key, and what may be done about it, is seen under its claim.
// 2. A write that could not go to the key's own volumes leaves its hint before the commit, under its claim. A hint goes when
//    the key has been seen whole, under its claim. So none is lost in between. Readers, who have no claim, write hints of
//    other names: they can neither replace one of a write nor be forgotten with it.
// 3. There is room for so many. What comes after that waits for a rebalance.
import { type Key } from "../format/key";
import { type Topology } from "../format/placement";
import { type Memory } from "../ledger/ledger";
import { limits } from "../limits";
import { log } from "../log";
import { shaped } from "../shape";

/**
 * Why a key is to be looked at. `written`: it did not get its own volumes, as they were under this topology. Of the others
 * a copy is not where its record says, or not what it was.
 */
export type Hint = { readonly why: "written"; readonly topology: string } | { readonly why: "missing" | "damaged" };

/** A key with a hint; it may have one of each kind. */
export type HintedKey = { readonly key: Key; readonly hint: Hint };

export class Hints {
  readonly #shared: Int32Array;
  /** Keys that readers of this thread have told of since `#toldMs`. */
  readonly #told = new Set<string>();
  #toldMs = 0;

  /** @param shared from `Hints.share`, the same for every thread of the process */
  constructor(
    readonly memory: Memory,
    shared: SharedArrayBuffer,
  ) {
    this.#shared = new Int32Array(shared);
  }

  static share(): SharedArrayBuffer {
    return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  }

  /** How many keys have one, about: as many as were counted last, and what came and went since. */
  get count(): number {
    return Atomics.load(this.#shared, 0);
  }

  set count(counted: number) {
    Atomics.store(this.#shared, 0, counted);
  }

  /** Remembers that this key is to be looked at: when this resolves, a crash does not undo it. */
  async add(key: Key, hint: Hint): Promise<void> {
    const name = nameOf(key, hint);
    const isKnown = (await this.memory.get(name)) !== undefined;
    if (isKnown && hint.why !== "written") return; // It says the same.
    if (!isKnown && this.count >= limits.hints) return await this.#leaveOut();
    await this.memory.put(name, hint);
    if (!isKnown) Atomics.add(this.#shared, 0, 1);
  }

  /** Adds a hint for a reader, who found a copy missing and does not wait for it; what readers tell again is not written again. */
  tell(key: Key): void {
    const now = performance.now();
    if (now > this.#toldMs + limits.toldMs || this.#told.size >= limits.told) {
      this.#told.clear();
      this.#toldMs = now;
    }
    const hex = key.toHex();
    if (this.#told.has(hex)) return;
    this.#told.add(hex);
    this.add(key, { why: "missing" }).catch(() => this.#told.delete(hex)); // The next reader tells it again.
  }

  /** Forgets this hint: the key has been seen whole, and nobody else has it. */
  async drop({ key, hint }: HintedKey): Promise<void> {
    await this.memory.delete(nameOf(key, hint));
    Atomics.sub(this.#shared, 0, 1);
  }

  /** The hints after this one, in the order of keys; a bounded number. */
  async page(after: HintedKey | undefined): Promise<readonly HintedKey[]> {
    const from = after && nameOf(after.key, after.hint);
    const found = await this.memory.page(prefix, { after: from, atMost: limits.batchRecords });
    return found.flatMap(([name, hint]) => {
      const [, hex, mark] = named.exec(name) ?? [];
      if (hex === undefined) return []; // It is damaged, and names no key.
      const { topology } = shaped<{ topology: string }>(hint, { topology: "" }) ?? { topology: "" };
      const why = mark as "missing" | "damaged" | undefined;
      return [
        { key: Uint8Array.fromHex(hex) as Uint8Array as Key, hint: why ? { why } : { why: "written", topology } },
      ];
    });
  }

  async #leaveOut(): Promise<void> {
    const known = await leftOutMs(this.memory);
    if (Date.now() < known + limits.toldMs) return;
    await this.memory.put(leftOutName, { atMs: Date.now() } satisfies LeftOut);
    if (known > 0) return;
    log(`heal: ${limits.hints} keys are to be brought home: more are not remembered, for those run rebalance`);
  }
}

const leftOutName = "hints left out";
type LeftOut = { readonly atMs: number };

/** When there was no room for a hint, by the wall's clock and to a minute; 0 if a rebalance has gone over all keys since. */
export async function leftOutMs(memory: Memory): Promise<number> {
  return shaped<LeftOut>(await memory.get(leftOutName), { atMs: 0 })?.atMs ?? 0;
}

/** Tells that a rebalance which began then has gone over all keys. */
export async function forgetLeftOut(memory: Memory, beganMs: number): Promise<void> {
  if ((await leftOutMs(memory)) + limits.toldMs < beganMs) await memory.delete(leftOutName);
}

/** A hint of a write under this topology. */
export function writtenUnder(topology: Topology): Hint {
  return { why: "written", topology: topologyId(topology) };
}

/** Stands for a topology: another one has another. */
export function topologyId({ volumes, replicas, subvolumes }: Topology): string {
  return new Bun.CryptoHasher("md5").update(JSON.stringify([volumes.toSorted(), replicas, subvolumes])).digest("hex");
}

const prefix = "heal ";
const named = /^heal ((?:[0-9a-f]{2})+)(?:!(missing|damaged))?$/;

function nameOf(key: Key, { why }: Hint): string {
  return prefix + key.toHex() + (why === "written" ? "" : `!${why}`);
}
