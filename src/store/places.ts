// Owns which places a store has, by the ids that they carry: whether two names are one place (a server under a new name
// would be given a copy of its own file, which then went as the stray), and which disks are taken for what they are now, and
// to be filled (`mend.ts`).
//   "refill " place " " id -> true          in the ledger's memory, from before the id is believed until the disk is filled
import { nowMs } from "../clock";
import { MkvError } from "../errors";
import { isConfigured } from "../format/volume";
import { limits } from "../limits";
import { type Ledger, entriesOf } from "../ledger/ledger";
import { adopt } from "../volumes/identity";
import { idPrefix } from "./ids";
import { forgetBegun } from "./job-memory";
import { forgetEmptied, rememberPutBack } from "./put-back";
import { type Volumes } from "../volumes/volumes";
import { sameIdWarning } from "../volumes/warnings";

/** Under which name it is remembered what is to be filled. */
export const refillPrefix = "refill ";

/**
 * Takes a disk, or a volume with all its disks, for what it is now: it was replaced.
 * @throws MkvError bad-request (not one of the store's), unavailable, volume-failed
 */
export async function adoptPlace(
  { volumes, ledger }: { volumes: Volumes; ledger: Pick<Ledger, "memory"> },
  name: string,
): Promise<void> {
  const { memory } = ledger;
  await adopt(volumes, name, async (place, id, { hasFiles }) => {
    for await (const [entry, known] of entriesOf(memory, idPrefix)) {
      const other = entry.slice(idPrefix.length);
      if (known !== id || other === place || !isConfigured(volumes.topology, other)) continue;
      const hadOwn = typeof (await memory.get(idPrefix + place)) === "string";
      if (hadOwn) throw new MkvError("failed", `${place} ${sameIdWarning(place, other)}`);
      throw new MkvError("failed", `${place} and ${other} are the same place: name each volume once in -volumes`);
    }
    if (!hasFiles) await forgetEmptied(memory, place);
    else if ((await memory.get(idPrefix + place)) !== id) {
      volumes.setPutBack(place, true); // Before it is read.
      await rememberPutBack(memory, place, { isEarlier: false });
    }
    await memory.put(`${refillPrefix}${place} ${id}`, true); // First: after a crash it is adopted again, or filled.
    await memory.put(idPrefix + place, id);
  });
  await forgetBegun(memory); // What a job has seen on the disk is not there any more.
}

/** What the places of a store say who they are; each is asked once in a while. */
export class Places {
  readonly #ids = new Map<string, { readonly id: string | undefined; readonly untilMs: number }>();

  constructor(readonly volumes: Volumes) {}

  /** Throws MkvError failed if a stray and a target are one and the same place. */
  async requireDistinct(strays: readonly string[], targets: readonly string[]): Promise<void> {
    for (const stray of strays) {
      const twin = (await this.#among(stray, targets)).find(({ isSame }) => isSame)?.name;
      if (twin)
        throw new MkvError("failed", `${stray} and ${twin} are the same place: rebuild with its new name first`);
    }
  }

  /** Whether this may be one of these places by another name: not if all have said who they are. */
  async mayBeAmong(name: string, others: readonly string[]): Promise<boolean> {
    return (await this.#among(name, others)).some(({ isSame }) => isSame !== false);
  }

  /** Of each of these whether it is the same place; undefined where one of both cannot be asked. */
  async #among(name: string, others: readonly string[]): Promise<{ name: string; isSame: boolean | undefined }[]> {
    const own = await this.#idOf(name);
    return await Promise.all(
      others.map(async (other) => {
        const its = await this.#idOf(other);
        return { name: other, isSame: own && its && own.id !== undefined && own.id === its.id };
      }),
    );
  }

  /** Who a place says it is, if it says anything. */
  async #idOf(name: string): Promise<{ readonly id: string | undefined } | undefined> {
    const known = this.#ids.get(name);
    if (known && known.untilMs > nowMs()) return known;
    try {
      const said = { id: await this.volumes.idOf(name), untilMs: nowMs() + limits.identityMs };
      if (this.#ids.size >= limits.presences) this.#ids.clear();
      this.#ids.set(name, said);
      return said;
    } catch (error) {
      if (error instanceof MkvError) return undefined;
      throw error;
    }
  }
}
