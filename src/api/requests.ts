// Owns what is counted of requests: how many there were, how long they took, what came in and went out; and what the log tells
// of them: who asked, what it was about, how it ended.
import { logAccess } from "../log";
import { type Counter, counter, counters, histograms } from "../metrics";
import { splitUrl } from "./url";

const answered = counters("mkv_requests_total", "Requests that were answered.", ["method", "status"]);
const durations = histograms(
  "mkv_request_seconds",
  "Time from a request to its answer; of a list to the first byte of it.",
  ["operation"],
);
const received = counter("mkv_received_bytes_total", "Bytes of the bodies of PUTs that came in.");
export const sent = counter("mkv_sent_bytes_total", "Bytes of the bodies of answers that went out.");

const operations = ["get", "head", "put", "delete", "unlink", "list", "job", "other"] as const;
const secondsOf = new Map(operations.map((operation) => [operation, durations.of(operation)]));

export type Operation = (typeof operations)[number];

/** A method, what it does to a key, and how often it was answered with each status. */
type Method = { readonly name: string; readonly operation: Operation; readonly statuses: Counter[] };
const known = { GET: "get", HEAD: "head", PUT: "put", DELETE: "delete", UNLINK: "unlink", POST: "job" } as const;
const methods = new Map(
  Object.entries(known).map(([name, operation]): [string, Method] => [name, { name, operation, statuses: [] }]),
);
/** Clients may make up any number of them. */
const otherMethod: Method = { name: "other", operation: "other", statuses: [] };

/** What a method does to a key. */
export function operationOfMethod(method: string): Operation {
  return (methods.get(method) ?? otherMethod).operation;
}

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

/** What is learnt of a request while it is answered, for the log. */
export type About = {
  /** Whom the volumes have let in; empty if nobody in particular. */
  user: string;
  /** Bytes of a value that came in. */
  receivedBytes: number;
  /** Where the value is, or was put. */
  volumes: readonly string[];
};

export function aboutNothing(): About {
  return { user: "", receivedBytes: 0, volumes: [] };
}

/** Counts bytes of a body that have come in. */
export function noteReceived(bytes: number, about: About | undefined): void {
  received.add(bytes);
  if (about) about.receivedBytes += bytes;
}

/** A request that has been answered; it is logged if there is an `about`. */
type Ended = {
  readonly method: string;
  readonly url: string;
  readonly operation: Operation;
  readonly startMs: number;
  readonly client: string;
  readonly about: About | undefined;
};

/** Counts a request with its answer, and logs it. */
export function noteEnd(response: Response, { method, url, operation, startMs, client, about }: Ended): void {
  const { status } = response;
  const seconds = (performance.now() - startMs) / 1000;
  const { name, statuses } = methods.get(method) ?? otherMethod;
  (statuses[status] ??= answered.of(name, String(status))).add();
  secondsOf.get(operation)!.observe(seconds);
  if (!about) return;
  const { path, query } = splitUrl(url);
  const sentBytes = lengths.get(response) ?? Number(response.headers.get("content-length") ?? 0);
  logAccess({
    client: client.replace(/^::ffff:(?=\d+\.)/, ""),
    user: about.user,
    method,
    path: query === "" ? path : `${path}?${query}`,
    status,
    bytes: about.receivedBytes || (method === "HEAD" ? 0 : sentBytes),
    seconds,
    volume: about.volumes.join(","),
  });
}
