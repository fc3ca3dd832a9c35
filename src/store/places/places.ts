// Owns whether two names are one place, by the ids that the places carry: a server under a new name would be given a copy of its
// own file, which then went as the stray.
import { nowMs } from "../../clock";
import { MkvError } from "../../errors";
import { limits } from "../../limits";
import { type Volumes } from "../../volumes/volumes";

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

  /** Whether this may be one of these places by another name: not if all have said who they are. `silent`: one that has not. */
  async mayBeAmong(name: string, others: readonly string[]): Promise<{ silent: string | undefined } | undefined> {
    return (await this.#among(name, others)).find(({ isSame, silent }) => isSame || silent !== undefined);
  }

  /** Of each of these whether it is the same place; not if one of both cannot be asked, which is `silent`. */
  async #among(name: string, others: readonly string[]) {
    const own = await this.#idOf(name);
    return await Promise.all(
      others.map(async (other) => {
        const its = await this.#idOf(other);
        const isSame = own?.id !== undefined && own.id === its?.id;
        return { name: other, isSame, silent: !own ? name : !its ? other : undefined };
      }),
    );
  }

  /** Who a place says it is, if it says anything. */
  async #idOf(name: string): Promise<{ readonly id: string | undefined } | undefined> {
    const known = this.#ids.get(name);
    if (known && known.untilMs > nowMs()) return known;
    if (!(await this.volumes.isWorthAsking(name))) return undefined;
    try {
      const said = { id: await this.volumes.idOf(name), untilMs: nowMs() + limits.identityMs };
      if (this.#ids.size >= limits.idsKnown) this.#ids.clear();
      this.#ids.set(name, said);
      return said;
    } catch (error) {
      if (error instanceof MkvError) return undefined;
      throw error;
    }
  }
}
