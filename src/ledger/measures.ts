// Owns what is measured of a ledger, whichever it is.
import { type Histogram, gauge, histograms } from "../metrics";

const seconds = histograms("mkv_ledger_seconds", "Time that the ledger took.", ["operation"]);
/** Reading a record. */
export const getSeconds = seconds.of("get");
/** Writing what a claim puts, or ends with. */
export const putSeconds = seconds.of("put");

/** Notes how long this has taken, if it has come about. */
export async function timed<T>(seconds: Histogram, work: Promise<T>): Promise<T> {
  const startMs = performance.now();
  const result = await work;
  seconds.observe((performance.now() - startMs) / 1000);
  return result;
}

export const claimsOpen = gauge("mkv_claims_open", "Keys that are being written, deleted or moved.");
export const keysOwed = gauge("mkv_keys_owed", "Keys of which unfinished work has left something on volumes.");
