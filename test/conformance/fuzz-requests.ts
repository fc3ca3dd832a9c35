// Owns odd requests: what a client may send that is hardly HTTP, or just not what is expected, by a seed; and what may come
// of each.
import { type Random } from "../chaos/random";
import { bodyOf, type Body } from "./fuzz-bodies";
import { headersOf } from "./fuzz-headers";
import { targetOf } from "./fuzz-targets";

/** One request, and what it means to those who read it as HTTP is meant. */
export interface Sent {
  key: string;
  bytes: Buffer;
  effect: "put" | "remove" | "none";
  isHead: boolean;
  /** What it stores, if anything may be stored. */
  value: Buffer | undefined;
  /** What may be stored by what follows its end, if that is not where it seems to be. */
  smuggled: Buffer | undefined;
  /** Whether an answer must come. */
  isProper: boolean;
  /** Whether an answer that refuses it may be one to something else. */
  isAmbiguous: boolean;
  /** Whether what follows it belongs to it. */
  isShort: boolean;
  /** Whether the first answer after it is its own. */
  isInOrder: boolean;
}

export type Ending = "read" | "cut" | "half";

/** One connection: requests one after the other, or at once, in pieces. */
export interface Case {
  token: string;
  requests: Sent[];
  isPipelined: boolean;
  /** Where the bytes of a request are cut into pieces, and the pause before each piece but the first. */
  pieces(request: Sent): { bytes: Buffer; pauseMs: number }[];
  ending: Ending;
  /** How much of the last request is sent before the client goes away. */
  lastBytes: number;
}

/** A case; its keys, if they are plain, are `/TOKEN-0` and so on. */
export function caseOf(random: Random, token: string): Case {
  const count = Number(random.weighted({ 1: 70, 2: 20, 3: 10 }));
  const isPipelined = count > 1 && random.fraction() < 0.5;
  const all = Array.from({ length: count }, (_, i) => requestOf(random, `${token}-${i}`));
  const short = all.findIndex(({ isShort }) => isShort);
  const requests = short < 0 ? all : all.slice(0, short + 1);
  let isInOrder = !isPipelined;
  for (const request of requests) {
    request.isInOrder = isInOrder;
    request.isProper &&= isInOrder;
    request.isAmbiguous ||= !isInOrder;
    isInOrder &&= request.isProper;
  }
  const ending = random.weighted<Ending>({ read: 70, cut: 20, half: 10 });
  const last = requests.at(-1)!;
  const whole = last.bytes.length;
  const lastBytes = ending === "cut" ? random.between(0, whole) : whole;
  if (ending !== "read") Object.assign(last, { isProper: false, isAmbiguous: true });
  return { token, requests, isPipelined, ending, lastBytes, pieces: (request) => piecesOf(random, request.bytes) };
}

function piecesOf(random: Random, bytes: Buffer): { bytes: Buffer; pauseMs: number }[] {
  const cuts = random.fraction() < 0.6 ? [] : Array.from({ length: random.between(1, 6) }, () => cutOf(random, bytes));
  const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
  return at.slice(1).map((end, i) => ({ bytes: bytes.subarray(at[i], end), pauseMs: random.between(0, 5) }));
}

/** Half of the cuts are in the head. */
function cutOf(random: Random, bytes: Buffer): number {
  const head = bytes.indexOf("\r\n\r\n");
  return random.between(0, random.fraction() < 0.5 && head > 0 ? head + 4 : bytes.length);
}

function requestOf(random: Random, token: string): Sent {
  const method = methodOf(random);
  const removes = /^(delete|unlink)$/i.test(method);
  const { target, isOdd: isOddTarget } = targetOf(random, token);
  const body: Body = /^(put|post|patch)$/i.test(method) || random.fraction() < 0.1 ? bodyOf(random, token) : noBody;
  const extra = headersOf(random, body.value);
  const version = random.weighted({ "HTTP/1.1": 95, "HTTP/1.0": 2, "HTTP/2.0": 1, "http/1.1": 1, "": 1 });
  const host = random.weighted({ "Host: a": 95, "Host: a\r\nHost: b": 1, "Host: a b/c": 1, "Host:": 1, "": 2 });
  const head = [`${method} ${target}${version && ` ${version}`}`, host, ...extra.lines, ...body.headers];
  const lineEnd = random.fraction() < 0.01 ? "\n" : "\r\n";
  const text = `${head.filter(Boolean).join(lineEnd)}\r\n\r\n`;
  const isOdd =
    lineEnd === "\n" ||
    isOddTarget ||
    extra.isOdd ||
    body.isOdd ||
    version !== "HTTP/1.1" ||
    host !== "Host: a" ||
    !plain.includes(method);
  return {
    key: `/${token}`,
    bytes: Buffer.concat([Buffer.from(text, "latin1"), body.bytes]),
    effect: /^put$/i.test(method) ? "put" : removes ? "remove" : "none",
    isHead: method === "HEAD",
    value: /^put$/i.test(method) && !extra.isRefused ? body.value : undefined,
    smuggled: body.isSound ? undefined : body.inner,
    isProper: !isOdd,
    isAmbiguous: body.isAmbiguous,
    isShort: body.isShort,
    isInOrder: true,
  };
}

const noBody: Body = {
  headers: [],
  bytes: Buffer.alloc(0),
  value: undefined,
  inner: undefined,
  isSound: true,
  isOdd: false,
  isAmbiguous: false,
  isShort: false,
};

const plain = ["GET", "HEAD", "PUT", "DELETE", "UNLINK", "POST"];

function methodOf(random: Random): string {
  const kinds = { PUT: 45, GET: 9, HEAD: 4, DELETE: 8, UNLINK: 5, POST: 6, known: 6, odd: 12 };
  const kind = random.weighted(kinds);
  if (kind === "known") return random.pick(["OPTIONS", "PATCH", "PROPFIND", "MOVE", "LOCK", "CONNECT", "TRACE"]);
  if (kind !== "odd") return kind;
  const odd = ["put", "Put", "delete", "get", "REBALANCE", "FOO", "", "P UT", "PUT\t", "PU\0T", "PÜT", "X".repeat(300)];
  return random.pick(odd);
}
