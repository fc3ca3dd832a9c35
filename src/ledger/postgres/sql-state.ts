// Owns the reading of the code that the SQL standard or PostgreSQL has for what a server said.

/** That code; undefined for what no server said. */
export function sqlState(error: unknown): string | undefined {
  const state = (error as { errno?: unknown } | undefined)?.errno;
  return typeof state === "string" && /^[0-9A-Z]{5}$/.test(state) ? state : undefined;
}
