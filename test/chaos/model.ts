// Owns what a key may be, given every request for it so far and what became of it. Requests may overlap, fail, be cut off
// by the end of the master or be given up by their client: the key then may be in one of several states, until an answer
// tells. An answer that no possible state allows is a violation of the store's promise.
//   absent    it never existed or is deleted: in no list
//   hollow    unlinked, and a write over it that was not finished may have taken its files: whoever finds none may forget it
//   unlinked  listed as unlinked, and stays so
//   live M    live, with the value whose MD5 is M
export type State = "absent" | "hollow" | "unlinked" | `live ${string}`;

export type Change =
  { readonly kind: "PUT"; readonly md5: string } | { readonly kind: "DELETE" | "UNLINK" | "REBALANCE" };

/**
 * What became of a change. `denied`: the answer says that the key is in no state for it. `failed`: it was tried and
 * taken back. `cut off`: its master has ended. `given up`: its client has, and the master may still be at it.
 */
export type Outcome = "done" | "denied" | "busy" | "failed" | "cut off" | "given up" | "not sent";

/** After so long a master has seen a request that its client has given up. */
const UNDERWAY_MS = 2_000;

export const isLive = (state: State) => state.startsWith("live");

/** The states into which the change may have brought a key that was in this one; none if it cannot have ended so. */
function statesAfter(change: Change, outcome: Outcome, state: State): State[] {
  const unwritten = state === "unlinked" ? "hollow" : state;
  switch (outcome) {
    case "done":
      if (change.kind === "PUT") return isLive(state) ? [] : [`live ${change.md5}`];
      if (change.kind === "UNLINK") return isLive(state) ? ["unlinked"] : [];
      if (state === "absent") return [];
      return change.kind === "DELETE" ? ["absent"] : [state];
    case "denied":
      if (change.kind === "PUT") return isLive(state) ? [state] : [];
      if (change.kind === "UNLINK") return isLive(state) ? [] : [state];
      return state === "absent" ? [state] : [];
    case "failed":
      if (change.kind === "PUT") return isLive(state) ? [] : [unwritten];
      return [state];
    case "cut off":
    case "given up":
      if (change.kind === "PUT") return isLive(state) ? [state] : [state, unwritten, `live ${change.md5}`];
      if (change.kind === "UNLINK") return isLive(state) ? [state, "unlinked"] : [state];
      if (change.kind === "DELETE") return [state, "absent"];
      return [state];
    case "busy":
    case "not sent":
      return [state];
  }
}

/** A change that has begun. */
export type Begun = {
  readonly change: Change;
  readonly sinceMs: number;
  /** The states that the key may have been in meanwhile, this change aside. */
  readonly seen: Set<State>;
  /** The changes that were under way together with it. */
  readonly others: Set<Begun>;
  givenUpMs?: number;
};

/** A look at a key, for as long as the request takes. */
export type Watch = { readonly seen: Set<State>; isAlone: boolean };

export class KeyModel {
  #settled = new Set<State>(["absent"]);
  readonly #underway = new Set<Begun>();
  readonly #watches = new Set<Watch>();
  readonly #log: string[] = [];
  /** The values of all writes, also of those that failed. */
  readonly values = new Set<string>();

  /** @param underwayMs for how long a change may still be carried out that was given up */
  constructor(
    readonly key: string,
    readonly underwayMs = UNDERWAY_MS,
  ) {}

  /** Every state that the key may be in now. */
  possible(): Set<State> {
    return closure(this.#settled, this.#underway);
  }

  begin(change: Change, nowMs = performance.now()): Begun {
    const begun: Begun = { change, sinceMs: nowMs, seen: new Set(), others: new Set(this.#underway) };
    for (const other of this.#underway) other.others.add(begun);
    this.#underway.add(begun);
    this.#changed();
    return begun;
  }

  /** Throws if the change cannot have ended so. */
  end(begun: Begun, outcome: Outcome, answer: string): void {
    this.note(`${begun.change.kind} ${"md5" in begun.change ? begun.change.md5.slice(0, 6) : ""} ${answer}`);
    if (begun.change.kind === "PUT" && outcome !== "busy" && outcome !== "not sent") this.values.add(begun.change.md5);
    if (outcome === "given up") return void (begun.givenUpMs = performance.now());
    this.#underway.delete(begun);
    if (outcome === "busy" || outcome === "not sent") {
      begun.others.forEach((other) => other.others.delete(begun)); // It had no part in anything.
    } else {
      this.#outlive(begun);
      const { change, others } = begun;
      const before = others.size === 0 ? closure(this.#settled, []) : begun.seen;
      const after = new Set([...before].flatMap((state) => statesAfter(change, outcome, state)));
      if (after.size === 0) this.violated(`${change.kind} was answered with ${answer}`, begun.seen);
      this.#settled = closure(after, others);
    }
    this.#changed();
  }

  watch(): Watch {
    const watch: Watch = { seen: this.possible(), isAlone: this.#underway.size === 0 };
    this.#watches.add(watch);
    return watch;
  }

  /** Ends a look that showed one of the states for which `shows` holds. Throws if the key cannot have been in any. */
  saw(watch: Watch, shows: (state: State) => boolean, answer: string): void {
    this.note(answer);
    this.#watches.delete(watch);
    if (![...watch.seen].some(shows)) this.violated(answer, watch.seen);
    if (!watch.isAlone) return;
    this.#settled = new Set([...this.#settled].filter(shows));
    this.#changed();
  }

  /** Ends a look that showed nothing. */
  lookAway(watch: Watch): void {
    this.#watches.delete(watch);
  }

  /** The master has ended, and with it what clients had given up. */
  masterEnded(): void {
    const givenUp = [...this.#underway].filter(({ givenUpMs }) => givenUpMs !== undefined);
    this.#settle(givenUp);
    this.#changed();
  }

  /**
   * An older index was put back, and rebuilt: what is live stays so. That a key was unlinked, deleted or never written may be
   * forgotten where a volume still has a file of it.
   */
  putBack(): void {
    this.note("an older index is put back");
    const forgotten: State[] = ["unlinked", "hollow", ...[...this.values].map((md5): State => `live ${md5}`)];
    this.#settled = new Set([...this.possible()].flatMap((state) => (isLive(state) ? [state] : [state, ...forgotten])));
    this.#changed();
  }

  note(event: string): void {
    this.#log.push(`${new Date().toISOString().slice(14, 23)} ${event}`);
    if (this.#log.length > 30) this.#log.shift();
  }

  violated(what: string, seen: Iterable<State>): never {
    throw new Error(`${this.key}: ${what}, and it can only be ${[...seen].join(" or ")}\n  ${this.#log.join("\n  ")}`);
  }

  /** A change that had the key to itself comes after those that were given up long before it began. */
  #outlive(begun: Begun): void {
    const over = [...begun.others].filter(({ givenUpMs = Infinity }) => givenUpMs < begun.sinceMs - this.underwayMs);
    this.#settle(over);
    over.forEach((other) => begun.others.delete(other));
  }

  #settle(over: Begun[]): void {
    this.#settled = closure(this.#settled, over);
    over.forEach((begun) => this.#underway.delete(begun));
  }

  #changed(): void {
    const possible = this.possible();
    for (const watch of this.#watches) {
      possible.forEach((state) => watch.seen.add(state));
      watch.isAlone &&= this.#underway.size === 0;
    }
    for (const begun of this.#underway) {
      const others = [...this.#underway].filter((other) => other !== begun);
      closure(this.#settled, others).forEach((state) => begun.seen.add(state));
    }
  }
}

/** Every state that may come of these when some of the changes take effect, wholly or in part, and what is hollow is forgotten. */
function closure(states: Iterable<State>, changes: Iterable<Begun>): Set<State> {
  const all = new Set(states);
  const list = [...changes];
  for (const state of all) {
    if (state === "hollow") all.add("absent");
    for (const { change } of list) statesAfter(change, "cut off", state).forEach((after) => all.add(after));
  }
  return all;
}
