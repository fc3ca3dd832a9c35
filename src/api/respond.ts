// Owns how an outcome looks on the wire: a status, and one line of text for every failure.
import { MkvError, reasonOf, statusOf } from "../errors";
import { limits } from "../limits";
import { logBug } from "../log";
import { withBody } from "./requests";

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
  if (["unavailable", "away", "too-much-owed"].includes(error.code))
    headers["retry-after"] = String(limits.settleMs / 1000);
  if (error.code === "crowded") Object.assign(headers, { connection: "close", "retry-after": "1" });
  if (error.code === "method") headers["allow"] = error.allow ?? "";
  return text(statusOf[error.code], reasonOf(error), headers);
}

function text(status: number, line: string, headers: Record<string, string> = {}): Response {
  return withBody(`${line}\n`, { status, headers: { ...headers, "content-type": "text/plain; charset=utf-8" } });
}
