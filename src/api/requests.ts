// Owns what is counted of requests: how many there were, how long they took, what came in and went out.
import { type Counter, counter, counters, histograms } from "../metrics";

const answered = counters("mkv_requests_total", "Requests that were answered.", ["method", "status"]);
const seconds = histograms(
  "mkv_request_seconds",
  "Time from a request to its answer; of a list to the first byte of it.",
  ["operation"],
);
export const received = counter("mkv_received_bytes_total", "Bytes of the bodies of PUTs that came in.");
export const sent = counter("mkv_sent_bytes_total", "Bytes of the bodies of answers that went out.");

type Method = { readonly name: string; readonly statuses: Counter[] };
const otherMethod: Method = { name: "other", statuses: [] };
const methods = new Map(
  ["GET", "HEAD", "PUT", "DELETE", "UNLINK", "POST"].map((name): [string, Method] => [name, { name, statuses: [] }]),
);
const operations = {
  get: seconds.of("get"),
  head: seconds.of("head"),
  put: seconds.of("put"),
  delete: seconds.of("delete"),
  unlink: seconds.of("unlink"),
  list: seconds.of("list"),
  job: seconds.of("job"),
  other: seconds.of("other"),
};

/** What a request is about. */
export type Operation = keyof typeof operations;

const lengths = new WeakMap<Response, number>();

/** An answer with a body, whose bytes are counted. */
export function withBody(body: string | Uint8Array<ArrayBuffer>, init: ResponseInit): Response {
  const bytes = Buffer.byteLength(body);
  sent.add(bytes);
  return ofLength(new Response(body, init), bytes);
}

/** An answer that is known to have so many bytes. */
export function ofLength(response: Response, bytes: number): Response {
  lengths.set(response, bytes);
  return response;
}

/** How long the body of an answer is, as far as it says so or `ofLength` was told. */
export function lengthOf(response: Response): number {
  return lengths.get(response) ?? Number(response.headers.get("content-length") ?? 0);
}

/** Counts a request that was answered with this status after so long. */
export function countRequest(
  method: string,
  { operation, status, ms }: { operation: Operation; status: number; ms: number },
): void {
  const { name, statuses } = methods.get(method) ?? otherMethod; // Clients may make up any number of them.
  (statuses[status] ??= answered.of(name, String(status))).add();
  operations[operation].observe(ms / 1000);
}
