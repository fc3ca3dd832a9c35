// Owns work over more items than fit in memory: a bounded number in flight, the first failure ends it all.

/** What a job tells of how far it is; a note is a line that must be seen. */
export type JobProgress = { at(step: Step): void; note(line: string): void };

export type Step = {
  readonly what: "key" | "file";
  readonly done: number;
  /** How many there are, about, where that is known. */
  readonly of?: number | undefined;
  /** Which part of the whole that is, 0 to 1, where it is known otherwise. */
  readonly share?: number | undefined;
};

/** What is done once in a while when all work that has begun has ended, for which it was waited so long. */
export type Pause<T> = { readonly isDue: () => boolean; readonly rest: (last: T, waitedMs: number) => Promise<void> };

/** The items of all pages. */
export async function* each<T>(pages: AsyncIterable<readonly T[]>): AsyncGenerator<T> {
  for await (const page of pages) yield* page;
}

/**
 * Runs `work` for every item, at most `atOnce` at a time; items are asked for as there is room.
 * @param pause is made when it is due, with the last item that was done
 * @throws whatever `items` or `work` throws first, after the work that had begun has ended
 */
export async function forEach<T>(
  items: AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>,
  pause?: Pause<T>,
): Promise<void> {
  const failures: unknown[] = [];
  let running = 0;
  let hasRoom = () => {};
  async function run(item: T): Promise<void> {
    running++;
    try {
      await work(item);
    } catch (error) {
      failures.push(error);
    }
    running--;
    hasRoom();
  }
  async function atMost(count: number): Promise<void> {
    while (running > count) await new Promise<void>((resolve) => (hasRoom = resolve));
  }
  try {
    for await (const item of items) {
      void run(item);
      if (running >= atOnce) await atMost(atOnce - 1);
      const isDue = pause?.isDue() === true;
      const dueMs = performance.now();
      if (isDue) await atMost(0);
      if (failures.length > 0) break;
      if (isDue) await pause.rest(item, performance.now() - dueMs);
    }
  } finally {
    await atMost(0);
  }
  if (failures.length > 0) throw failures[0];
}
