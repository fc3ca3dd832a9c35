// Owns the bounds of a ledger in PostgreSQL, as `limits.ts` does those of everything else.
export const databaseLimits = {
  /** A statement waits so long for the database with all that is tried again, or so long where that has been away for long. */
  patienceMs: 5000,
  awayMs: 1000,
  /** It is said to be back when so long nothing has failed: longer than any one statement waits. */
  quietMs: 8000,
  /** A connection that has not answered for so long counts as hung; a long statement, such as one of a rebuild, may take longer. */
  answerMs: 2000,
  longMs: 120_000,
  /** First pause before a statement is tried again; connections of a thread. */
  pauseMs: 20,
  connections: 4,
  /** A claim holds for so long after it was renewed last, and its key is somebody else's so long after that. */
  leaseMs: 10_000,
  leaseGraceMs: 2000,
  /** A volume waits so long for the rest of a body: a key whose owner died in one waits as well. Tries of a claim. */
  streamMs: 62_000,
  claimTries: 10,
  /** A process that uses the database says so often that it is there, and is believed for so long. */
  presentMs: 5000,
  absentMs: 20_000,
  /** Keys that owe something: a rebuild keeps so many in memory, and they are counted so often. */
  owedInRebuild: 1_000_000,
  countMs: 5000,
} as const;
