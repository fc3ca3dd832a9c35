// Owns the failure of a measurement: its message is one line that says what went wrong.

/** What makes the bench fail: an answer that should not be, a program that does not run, too little room. */
export class BenchError extends Error {}

/** Throws BenchError if this does not hold. */
export function demand(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new BenchError(otherwise);
}
