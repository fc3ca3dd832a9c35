// Owns which names have one and the same id: those that one look at the volumes has seen, and the remembered ids of those
// that did not answer. A name that was seen with another id, or with none, does not count with the remembered one.
import { type SeenId } from "./id-file";

type Pair = readonly [string, string];

/** The ids of one look at the volumes. */
export class SeenIds {
  readonly #remembered: (name: string) => string | null | undefined;
  readonly #ids = new Map<string, string | undefined>();
  readonly #names = new Map<string, Set<string>>();

  /** @param remembered the id of each of these names, if it has one */
  constructor(names: readonly string[], remembered: (name: string) => string | null | undefined) {
    this.#remembered = remembered;
    for (const name of names) this.#index(name, remembered(name));
  }

  add(name: string, found: SeenId): void {
    const id = found.kind === "id" ? found.id : undefined;
    this.#ids.set(name, id);
    this.#index(name, id);
  }

  /** Another name with the id that was seen of this one. */
  twinOf(name: string): string | undefined {
    const id = this.#ids.get(name);
    if (id === undefined) return undefined;
    for (const other of this.#names.get(id) ?? []) {
      const theirs = this.#ids.has(other) ? this.#ids.get(other) : this.#remembered(other);
      if (other !== name && theirs === id) return other;
    }
    return undefined;
  }

  /** Pairs of names with one id; of the disks of two volumes only if those are no pair. */
  twins(volumeOf: (name: string) => string): Pair[] {
    const pairs = new Map<string, Pair>();
    for (const name of this.#ids.keys()) {
      const other = this.twinOf(name);
      if (other !== undefined) pairs.set(keyOf([name, other]), name < other ? [name, other] : [other, name]);
    }
    return [...pairs.values()].filter((pair) => {
      const above: Pair = [volumeOf(pair[0]), volumeOf(pair[1])];
      return keyOf(above) === keyOf(pair) || !pairs.has(keyOf(above));
    });
  }

  #index(name: string, id: string | null | undefined): void {
    if (typeof id !== "string") return;
    const names = this.#names.get(id);
    if (names) names.add(name);
    else this.#names.set(id, new Set([name]));
  }
}

function keyOf(pair: Pair): string {
  return [...pair].sort().join(" ");
}
