// Owns the bounds of a ledger in PostgreSQL, as `limits.ts` does those of everything else.
export const databaseLimits = {
  patienceMs: 5000, // A statement waits so long for the database with all that is tried again,
  awayMs: 1000, // or so long where that has been away for long.
  quietMs: 8000, // It is said to be back when so long nothing has failed: longer than any one statement waits.
  answerMs: 2000, // A connection that has not answered for so long counts as hung;
  longMs: 120_000, // a long statement, such as one of a rebuild, may take longer.
  pauseMs: 20, // First pause before a statement is tried again.
  connections: 4, // Connections of a thread.
  leaseMs: 10_000, // A claim holds for so long after it was renewed last,
  leaseGraceMs: 2000, // and its key is somebody else's so long after that.
  streamMs: 62_000, // A volume waits so long for the rest of a body: a key whose owner died in one waits as well.
  claimTries: 10, // Tries of a claim.
  presentMs: 5000, // A process that uses the database says so often that it is there,
  absentMs: 20_000, // and is believed for so long.
  owedInRebuild: 1_000_000, // Keys that owe something, of which a rebuild keeps so many in memory.
  countMs: 5000, // How often those are counted.
} as const;
