// Owns work over more items than fit in memory: a bounded number in flight, the first failure ends it all.

/** What a job tells of how far it is. The total may become known later, or change; a note is a line that must be seen. */
export type JobProgress = { at(done: number, total: number): void; note(line: string): void };

/** The items of all pages. */
export async function* each<T>(pages: AsyncIterable<readonly T[]>): AsyncGenerator<T> {
  for await (const page of pages) yield* page;
}

/**
 * Runs `work` for every item, at most `atOnce` at a time; items are asked for as there is room.
 * @throws whatever `items` or `work` throws first, after the work that had begun has ended
 */
export async function forEach<T>(
  items: AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  for await (const item of items) {
    const task: Promise<void> = work(item)
      .catch((error) => void failures.push(error))
      .finally(() => running.delete(task));
    running.add(task);
    if (running.size >= atOnce) await Promise.race(running);
    if (failures.length > 0) break;
  }
  await Promise.all(running);
  if (failures.length > 0) throw failures[0];
}
