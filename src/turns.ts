// Owns taking turns: work that must not be done by everybody at once.

/** What `work` makes of each of a few items, in their order: so many at once, then the next ones. */
export async function inBatches<T, R>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  for (let at = 0; at < items.length; at += atOnce)
    results.push(...(await Promise.all(items.slice(at, at + atOnce).map(work))));
  return results;
}

/** Turns for each of several apart, such as servers: none of them waits for another one. */
export class TurnsOfEach {
  readonly #turns = new Map<string, Turns>();

  constructor(readonly atOnce: number) {}

  /** Waits for a turn of this one; disposing what it returns ends the turn. */
  async enter(name: string): Promise<Disposable> {
    let turns = this.#turns.get(name);
    if (!turns) this.#turns.set(name, (turns = new Turns(this.atOnce)));
    return await turns.enter();
  }
}

/** Runs at most so many tasks at once; further ones wait their turn. */
export class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  /** Waits for a turn; disposing what it returns ends the turn. */
  async enter(): Promise<Disposable> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return {
      [Symbol.dispose]: () => {
        const next = this.#waiting.shift();
        if (next) next();
        else this.#free++;
      },
    };
  }
}
