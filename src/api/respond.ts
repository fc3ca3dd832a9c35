// Owns how an outcome looks on the wire: one table from error codes to statuses, one line of text for every failure.
import { MkvError, type ErrorCode, reasonOf } from "../errors";
import { limits } from "../limits";
import { logBug } from "../log";
import { withBody } from "./requests";

/** The HTTP status of each failure. `client-gone` reaches nobody; 499 is for the log. */
const statusOf: Record<ErrorCode, number> = {
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
  "too-much-owed": 503,
  crowded: 503,
  timeout: 504,
};

/** An answer without a body. */
export function empty(status: number, headers: Record<string, string> = {}): Response {
  return new Response(null, { status, headers });
}

/** The answer to a request that failed with this error. A bug is logged, and answered with 500. */
export function failed(error: unknown): Response {
  if (!(error instanceof MkvError)) {
    logBug(error);
    return text(500, "a bug: see the log of the master");
  }
  const headers: Record<string, string> = {};
  if (error.code === "unauthorized") headers["www-authenticate"] = 'Basic realm="mkv"';
  if (error.code === "unavailable" || error.code === "too-much-owed")
    headers["retry-after"] = String(limits.settleMs / 1000);
  if (error.code === "crowded") Object.assign(headers, { connection: "close", "retry-after": "1" });
  if (error.code === "method") headers["allow"] = error.allow ?? "";
  return text(statusOf[error.code], reasonOf(error), headers);
}

function text(status: number, line: string, headers: Record<string, string> = {}): Response {
  return withBody(`${line}\n`, { status, headers: { ...headers, "content-type": "text/plain; charset=utf-8" } });
}
