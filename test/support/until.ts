// Owns waiting: for a condition, never for time. Every wait has a deadline, and a deadline that passes is a failure.

const POLL_MS = 10;

export interface Deadline {
  /** What is waited for; a function says it when that has not come. */
  what: string | (() => string);
  deadlineMs?: number;
}

/** Polls until the condition gives something truthy and returns that; throws when the deadline passes. */
export async function until<T>(
  condition: () => T | Promise<T>,
  { what, deadlineMs = 30_000 }: Deadline,
): Promise<NonNullable<T>> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const result = await condition();
    if (result) return result;
    if (performance.now() > end) throw lateError(what, deadlineMs);
    await Bun.sleep(POLL_MS);
  }
}

/** The promise's result, or an error when it is not there in time. */
export async function within<T>(promise: Promise<T>, { what, deadlineMs = 30_000 }: Deadline): Promise<T> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(lateError(what, deadlineMs)), deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

function lateError(what: Deadline["what"], deadlineMs: number): Error {
  return new Error(`not within ${deadlineMs} ms: ${typeof what === "string" ? what : what()}`);
}
