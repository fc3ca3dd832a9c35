// Owns the patience with clients that guess passwords: those of one address are tried one after the other, ever more slowly.
import { MkvError } from "../errors";
import { limits } from "../limits";
import { warn } from "../log";
import { Turns } from "../turns";

type Guesser = { readonly turns: Turns; wrong: number; waiting: number; lastMs: number; saidMs: number };

/** The guesses of a thread's clients. */
export class Guesses {
  readonly #guessers = new Map<string, Guesser>();

  /**
   * Tries credentials that nobody knows yet, when their turn has come.
   * @throws MkvError crowded if too many wait already; what `ask` throws
   */
  async try(address: string, ask: () => Promise<void>): Promise<void> {
    const name = networkOf(address);
    const guesser = this.#guesserAt(name);
    if (guesser.waiting >= limits.guessesWaiting)
      throw new MkvError("crowded", "too many passwords were tried from this address: try again later");
    guesser.waiting++;
    try {
      using _turn = await guesser.turns.enter();
      const tooMany = guesser.wrong - limits.guessesFree;
      if (tooMany >= 0) await Bun.sleep(Math.min(limits.guessPauseMs * (tooMany + 1), limits.longestGuessPauseMs));
      await ask();
    } catch (error) {
      if (error instanceof MkvError && error.code === "unauthorized") this.#note(name, guesser);
      throw error;
    } finally {
      guesser.waiting--;
    }
  }

  #guesserAt(name: string): Guesser {
    const now = performance.now();
    let guesser = this.#guessers.get(name);
    if (guesser && guesser.waiting === 0 && now - guesser.lastMs > limits.guesserMs) guesser = undefined;
    guesser ??= { turns: new Turns(1), wrong: 0, waiting: 0, lastMs: now, saidMs: Number.NEGATIVE_INFINITY };
    this.#guessers.delete(name); // The map is in the order of their last guesses.
    this.#guessers.set(name, guesser);
    if (this.#guessers.size > limits.authEntries) this.#guessers.delete(this.#guessers.keys().next().value!);
    return guesser;
  }

  #note(name: string, guesser: Guesser): void {
    guesser.wrong++;
    guesser.lastMs = performance.now();
    if (guesser.wrong < limits.guessesFree || guesser.lastMs - guesser.saidMs < limits.crowdedLogMs) return;
    guesser.saidMs = guesser.lastMs;
    warn(`${name} has tried ${guesser.wrong} wrong passwords: its guesses are slowed down`);
  }
}

/** An IPv4 address, or the network of 64 bits that an IPv6 address is one of many in. */
function networkOf(address: string): string {
  const v4 = /^(?:::ffff:)?(\d+(?:\.\d+){3})$/i.exec(address)?.[1];
  if (v4 !== undefined) return v4;
  const [left = "", right] = address.split("::");
  const groups = left.split(":").filter((group) => group !== "");
  const last = right === undefined ? [] : right.split(":").filter((group) => group !== "");
  while (right !== undefined && groups.length + last.length < 8) groups.push("0");
  return `${[...groups, ...last].slice(0, 4).join(":")}::/64`;
}
