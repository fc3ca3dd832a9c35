// Owns waiting with an end: no promise of the network is awaited without one.

/** What the promise settles to, or a rejection with `onTimeout()` after so many milliseconds: soon if there are none. */
export async function withDeadline<T>(timeoutMs: number, promise: Promise<T>, onTimeout: () => Error): Promise<T> {
  const { promise: deadline, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(onTimeout()), Math.max(timeoutMs, 0));
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
