// Owns the look at the next item of what comes in pages: what is in order in several places is merged by it as it comes.

/** The items of pages, none of which is empty. */
export class Ahead<T> implements AsyncDisposable {
  #page: readonly T[] = [];
  #at = 0;
  #isEnded = false;

  constructor(readonly pages: AsyncGenerator<readonly T[]>) {}

  /** The next item; undefined at the end, or if it has to be waited for. */
  get next(): T | undefined {
    return this.#page[this.#at];
  }

  /** Whether the next item has to be waited for. */
  get isDue(): boolean {
    return this.#at === this.#page.length && !this.#isEnded;
  }

  /** Waits for the next item, if it is due. */
  async fill(): Promise<void> {
    if (!this.isDue) return;
    const { done, value } = await this.pages.next();
    this.#isEnded = done === true;
    this.#page = value ?? [];
    this.#at = 0;
  }

  /** Goes on to the item after it. */
  skip(): void {
    this.#at++;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pages.return(undefined);
  }
}
