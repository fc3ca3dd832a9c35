// Owns the bounds of the S3 dialect, as `limits.ts` does those of everything else.
export const s3Limits = {
  skewMs: 900_000, // How far the time of a request may be off.
  documentBytes: 2 * 1024 * 1024, // Longest document.
  putBytes: 5 * 1024 * 1024 * 1024, // Most bytes that are put at once.
  wholeBytes: 8 * 1024 * 1024, // Longest body that comes in whole before its key is taken;
  wholesBytes: 32 * 1024 * 1024, // memory of a thread for those: what finds none is streamed.
  readTries: 5, // Somebody who reads a value that is replaced meanwhile begins again so often.
  busyMs: 30_000, // Writes of one key wait so long for those before.
  pageKeys: 1000, // Entries of a page,
  statsAtOnce: 256, // and how many volumes are asked at once for what is on it.
  skipKeys: 32, // After so many keys with one prefix the next ones are passed over by a seek.
  deletesAtOnce: 32, // So many objects of one request, or parts of an upload, are deleted at once.
  bucketSteps: 10_000, // Keys outside of buckets that are read for a list of buckets.
  parts: 10_000, // Parts of an upload;
  leastPartBytes: 5 * 1024 * 1024, // how small all but the last may be.
  partRuns: 32, // So many runs of parts of one length are kept of an object, so that each part can be read by its number.
  uploadMs: 7 * 86_400_000, // How long an upload is kept;
  sweepMs: 3_600_000, // how often that is looked at.
  knownOldMs: 3_600_000, // An upload has been known as too old for so long before it is ended;
  oldUploads: 100_000, // so many are known at once.
  patienceMs: 5000, // What takes longer than this is answered as it goes on, by white space.
} as const;
