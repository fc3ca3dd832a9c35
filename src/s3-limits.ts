// Owns the bounds of the S3 dialect, as `limits.ts` does those of everything else.
export const s3Limits = {
  /** How far the time of a request may be off; longest document; most bytes that are put at once. */
  skewMs: 900_000,
  documentBytes: 2 * 1024 * 1024,
  putBytes: 5 * 1024 * 1024 * 1024,
  /** Longest body that comes in whole before its key is taken; memory of a thread for those: what finds none is streamed. */
  wholeBytes: 8 * 1024 * 1024,
  wholesBytes: 32 * 1024 * 1024,
  /** Somebody who reads a value that is replaced meanwhile begins again so often. */
  readTries: 5,
  /** Writes of one key wait so long for those before. */
  busyMs: 30_000,
  /** Entries of a page, and how many volumes are asked at once for what is on it. */
  pageKeys: 1000,
  statsAtOnce: 256,
  /** After so many keys with one prefix the next ones are passed over by a seek. */
  skipKeys: 32,
  /** Keys outside of buckets that are read for a list of buckets. */
  bucketSteps: 10_000,
  /** Parts of an upload, how small all but the last may be. */
  parts: 10_000,
  leastPartBytes: 5 * 1024 * 1024,
  /** So many runs of parts of one length are kept of an object, so that each part can be read by its number. */
  partRuns: 32,
  /** How long an upload is kept, how often that is looked at. */
  uploadMs: 7 * 86_400_000,
  sweepMs: 3_600_000,
  /** An upload has been known as too old for so long before it is ended; so many are known at once. */
  knownOldMs: 3_600_000,
  oldUploads: 100_000,
  /** What takes longer than this is answered as it goes on, by white space. */
  patienceMs: 5000,
} as const;
