// Owns which names have one and the same id: those that one look at the volumes has seen, and the remembered ids of those
// that did not answer. A name that was seen with another id, or with none, does not count with the remembered one.
import { type SeenId } from "./id-file";

/** Two names for one and the same place. */
export type Twins = readonly [string, string];

/** The ids of one look at the volumes. */
export class SeenIds {
  /** As they are remembered, until a name has been seen. */
  readonly #ids: Map<string, string | null | undefined>;
  readonly #seen = new Set<string>();

  constructor(remembered: Iterable<[name: string, id: string | null | undefined]>) {
    this.#ids = new Map(remembered);
  }

  add(name: string, found: SeenId): void {
    this.#seen.add(name);
    this.#ids.set(name, found.kind === "id" ? found.id : undefined);
  }

  /** Whether another name has this id. */
  isAnothers(id: string, name: string): boolean {
    for (const [other, theirs] of this.#ids) if (other !== name && theirs === id) return true;
    return false;
  }

  /** Names with one id, of which one has been seen; of the disks of two volumes only if those are no twins. */
  twins(volumeOf: (name: string) => string): Twins[] {
    const named = [...this.#ids].filter(([, id]) => typeof id === "string");
    const groups = Map.groupBy(named, ([, id]) => id).values();
    const twins = [...groups].flatMap(([[first] = [""], ...others]) =>
      others
        .filter(([other]) => this.#seen.has(first) || this.#seen.has(other))
        .map(([other]) => [first, other].sort() as [string, string]),
    );
    const all = new Set(twins.map(String));
    return twins.filter((pair) => {
      const above = String(pair.map(volumeOf).sort());
      return above === String(pair) || !all.has(above);
    });
  }
}
