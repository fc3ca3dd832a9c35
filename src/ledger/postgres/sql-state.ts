// Owns the reading of the code that the SQL standard or PostgreSQL has for what a server said.

/** That code, of an error or its cause; empty for what no server said. */
export function sqlState(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const { errno } = error as { errno?: unknown };
  return typeof errno === "string" && /^[0-9A-Z]{5}$/.test(errno) ? errno : sqlState(error.cause);
}
