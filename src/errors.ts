// Owns the one class of expected failures. A code is a closed set; the text tells the reader what is wrong and, where
// there is something to do, what to do next. Anything else that is thrown is a bug.

/** What went wrong, for programs: `api/respond.ts` maps each code to an HTTP status, `main.ts` to an exit code. */
export type ErrorCode =
  | "bad-request"
  | "unauthorized"
  | "forbidden"
  | "absent"
  | "method"
  | "busy"
  | "conflict"
  | "gone"
  | "empty"
  | "too-many"
  | "too-much-owed"
  | "key-too-long"
  | "client-gone"
  | "client-slow"
  | "corrupt"
  | "crowded"
  | "failed"
  | "volume-failed"
  | "unavailable"
  | "timeout"
  | "unsupported"
  | "usage";

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

/** The one-line reason of anything that was thrown. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.trim().split("\n", 1)[0] ?? "";
}
