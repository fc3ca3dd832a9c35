// Owns waiting with an end: no promise of the network is awaited without one.

/** What the promise settles to, or a rejection with `onTimeout()` after so many milliseconds. */
export async function withDeadline<T>(timeoutMs: number, promise: Promise<T>, onTimeout: () => Error): Promise<T> {
  const { promise: deadline, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(onTimeout()), timeoutMs);
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}
