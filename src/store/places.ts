// Owns which places a store has, by the ids that they carry: whether two names are one place (a server under a new name
// would be given a copy of its own file, which then went as the stray), what is remembered of the ids, and which disks are
// to be filled (`refill.ts`).
//   "refill " place " " id -> true          in the ledger's memory, from before the id is believed until the disk is filled
import { nowMs } from "../clock";
import { MkvError } from "../errors";
import { limits } from "../limits";
import { type Ledger } from "../ledger/ledger";
import { adopt } from "../volumes/identity";
import { forgetBegun } from "./job-memory";
import { type Volumes } from "../volumes/volumes";

/** Under which name the id of a volume or disk is remembered, and what is to be filled. */
export const idPrefix = "id ";
export const refillPrefix = "refill ";

/**
 * Takes a disk, or a volume with all its disks, for what it is now: it was replaced.
 * @throws MkvError bad-request (not one of the store's), unavailable, volume-failed
 */
export async function adoptPlace(
  { volumes, ledger }: { volumes: Volumes; ledger: Ledger },
  name: string,
): Promise<void> {
  const { memory } = ledger;
  await adopt(volumes, name, async (place, id) => {
    await memory.put(`${refillPrefix}${place} ${id}`, true); // First: after a crash it is adopted again, or filled.
    await memory.put(idPrefix + place, id);
  });
  await forgetBegun(memory); // What a job has seen on the disk is not there any more.
}

/** What the places of a store say who they are; each is asked once in a while. */
export class Places {
  readonly #volumes: Volumes;
  readonly #ids = new Map<string, { readonly id: Promise<string | undefined>; readonly untilMs: number }>();

  constructor(volumes: Volumes) {
    this.#volumes = volumes;
  }

  /** Throws MkvError failed if a stray and a target are one and the same place. */
  async requireDistinct(strays: readonly string[], targets: readonly string[]): Promise<void> {
    for (const stray of strays) {
      const twin = await this.#twinOf(stray, targets);
      if (twin)
        throw new MkvError("failed", `${stray} and ${twin} are the same place: rebuild with its new name first`);
    }
  }

  /** Whether this is one of these places by another name. */
  async isAmong(name: string, others: readonly string[]): Promise<boolean> {
    return (await this.#twinOf(name, others)) !== undefined;
  }

  async #twinOf(name: string, others: readonly string[]): Promise<string | undefined> {
    const id = await this.#idOf(name);
    if (id === undefined) return undefined;
    for (const other of others) if ((await this.#idOf(other)) === id) return other;
    return undefined;
  }

  #idOf(name: string): Promise<string | undefined> {
    const known = this.#ids.get(name);
    if (known && known.untilMs > nowMs()) return known.id;
    if (this.#ids.size >= limits.presences) this.#ids.clear();
    const id = this.#volumes.idOf(name).catch(() => undefined); // One that cannot be asked gets no copy either.
    this.#ids.set(name, { id, untilMs: nowMs() + limits.identityMs });
    return id;
  }
}
