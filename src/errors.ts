// Owns the one class of expected failures. A code is a closed set; the text tells the reader what is wrong and, where
// there is something to do, what to do next. Anything else that is thrown is a bug.

/**
 * What went wrong, for programs, with the HTTP status that says so; `main.ts` makes an exit code of it. `client-gone` reaches
 * nobody: 499 is for the log. `away`: the ledger cannot be asked, which its log tells.
 */
export const statusOf = {
  "bad-request": 400,
  unauthorized: 401,
  forbidden: 403,
  absent: 404,
  method: 405,
  "client-slow": 408,
  busy: 409,
  conflict: 409,
  gone: 410,
  empty: 411,
  "too-many": 413,
  "key-too-long": 414,
  "client-gone": 499,
  failed: 500,
  corrupt: 500,
  usage: 500,
  unsupported: 501,
  "volume-failed": 502,
  unavailable: 503,
  away: 503,
  "too-much-owed": 503,
  crowded: 503,
  timeout: 504,
} as const;

export type ErrorCode = keyof typeof statusOf;

/** A failure that the world can cause, as opposed to a bug. */
export class MkvError extends Error {
  /** The methods that would have been taken, where the code is `method`. */
  readonly allow: string | undefined;

  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown; allow?: string },
  ) {
    super(message, options);
    this.name = "MkvError";
    this.allow = options?.allow;
  }
}

/** Whether this is an expected failure with this code. */
export function hasCode(error: unknown, code: ErrorCode): error is MkvError {
  return error instanceof MkvError && error.code === code;
}

/** With which exit code a command ends that fails so. */
export function exitCodeOf(error: unknown): 1 | 2 {
  return hasCode(error, "usage") ? 2 : 1;
}

/** The one-line reason of anything that was thrown. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.trim().split("\n", 1)[0] ?? "";
}
