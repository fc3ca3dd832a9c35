// Owns group commit: work that is done in rounds, one at a time. Whoever asks while one runs shares the next.

/** Rounds of one kind of work, which does all that has been asked for when it begins. */
export class GroupCommit {
  #last: Promise<unknown> = Promise.resolve();
  #next: Promise<void> | undefined;

  /** @param gather is waited for before a round begins: who asks meanwhile is of that round */
  constructor(
    readonly work: () => Promise<unknown>,
    readonly gather: () => Promise<unknown> = async () => {},
  ) {}

  /** Waits for a round that begins after this call; rejects with what that throws. */
  next(): Promise<void> {
    if (this.#next) return this.#next;
    const round = this.#last.then(async () => {
      await this.gather();
      this.#next = undefined;
      await this.work();
    });
    this.#last = round.catch(() => {}); // Those who wait for it are told.
    this.#next = round;
    return round;
  }
}
