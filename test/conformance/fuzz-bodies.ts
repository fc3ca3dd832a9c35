// Owns the bodies of odd requests, and what the head says of them: a length, chunks, both, neither, or nonsense.
import { type Random } from "../chaos/random";
import { valueOf } from "../support/values";

/** A body as it goes out. */
export interface Body {
  headers: string[];
  bytes: Buffer;
  /** What it says, to those who read it as HTTP is meant; undefined if it says nothing, or not all of it. */
  value: Buffer | undefined;
  /** The value that a request within it would store. */
  inner: Buffer | undefined;
  /** Whether where it ends is beyond doubt. */
  isSound: boolean;
  /** Whether it may remain without an answer. */
  isOdd: boolean;
  /** Whether what follows its end gets an answer of its own, or a stored value Bun's 400. */
  isAmbiguous: boolean;
  /** Whether what follows belongs to it. */
  isShort: boolean;
}

/** A body for a PUT of this token. */
export function bodyOf(random: Random, token: string): Body {
  const inner = Buffer.from(`inner ${token}`);
  const text = `PUT /${token}-inner HTTP/1.1\r\nHost: a\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`;
  const holdsRequest = random.fraction() < 0.25;
  const bytes = Number(random.weighted({ 0: 2, 1: 5, 40: 60, 2000: 20, 100_000: 8, 300_000: 5 }));
  const filler = valueOf(token, bytes);
  const value = bytes === 0 ? filler : Buffer.concat([Buffer.from(holdsRequest ? text : `${token} `), filler]);
  const framed = framedBy(random, value);
  const plain = { isSound: false, isOdd: true, isAmbiguous: false, isShort: false, bytes: value, inner: undefined };
  const said = framed.value?.length === 0 ? undefined : framed.value;
  return { ...plain, ...framed, value: said, ...(holdsRequest && bytes > 0 && { inner }) };
}

type Framed = Pick<Body, "headers" | "value"> & Partial<Body>;

function framedBy(random: Random, value: Buffer): Framed {
  const kind = random.weighted({ length: 40, chunked: 22, length_odd: 18, chunked_odd: 12, coding_odd: 8 });
  switch (kind) {
    case "length":
      return { headers: [`Content-Length: ${value.length}`], value, isSound: true, isOdd: false };
    case "chunked":
      return chunked(value, random);
    case "length_odd":
      return random.pick(oddLengths)(value);
    case "chunked_odd":
      return { headers: [coding], isAmbiguous: true, ...random.pick(oddChunks)(value, random) };
    case "coding_odd":
      return {
        ...chunked(value, random),
        isSound: false,
        isOdd: true,
        isAmbiguous: true,
        ...random.pick(oddCodings)(value),
      };
  }
}

const coding = "Transfer-Encoding: chunked";
const length = (text: string | number) => `Content-Length: ${text}`;

/** Chunks of odd sizes, some with extensions. */
function chunked(value: Buffer, random: Random): Framed {
  return { headers: [coding], bytes: Buffer.concat([chunks(value, random), end]), value, isSound: true, isOdd: false };
}

const end = Buffer.from("0\r\n\r\n");

function chunks(value: Buffer, random: Random): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < value.length;) {
    const chunk = value.subarray(at, at + random.between(1, Math.ceil(value.length / 3)));
    const size = random.fraction() < 0.1 ? `000${chunk.length.toString(16)}` : chunk.length.toString(16).toUpperCase();
    const extension = random.weighted({ "": 80, ";a": 8, ";a=b": 8, ';a="b;c"': 4 });
    parts.push(Buffer.from(`${size}${extension}\r\n`), chunk, Buffer.from("\r\n"));
    at += chunk.length;
  }
  return Buffer.concat(parts);
}

const none = undefined;
const oddLengths: ((value: Buffer) => Framed)[] = [
  (value) => ({ headers: [length(value.length), length(value.length)], value }),
  (value) => ({ headers: [length(`${value.length}, ${value.length}`)], value }),
  (value) => ({ headers: [length(value.length), length(value.length + 3)], value: none }),
  (value) => ({ headers: [length(value.length + 3), length(value.length)], value: none }),
  (value) => ({ headers: [length(`${value.length}, ${value.length - 1}`)], value: none }),
  (value) => ({ headers: [length(-value.length)], value: none }),
  (value) => ({ headers: [length(`+${value.length}`)], value: none }),
  (value) => ({ headers: [length(`0x${value.length.toString(16)}`)], value: none }),
  (value) => ({ headers: [length(`${value.length}.0`)], value: none }),
  (value) => ({ headers: [length(`${value.length} ${value.length}`)], value: none }),
  () => ({ headers: [length("")], value: none }),
  () => ({ headers: [length("99999999999999999999")], value: none }),
  () => ({ headers: [length("9007199254740993")], value: none }),
  (value) => ({ headers: [length(`   ${value.length}  `)], value }),
  (value) => ({ headers: [length(value.length + 10)], value: none, isSound: true, isShort: true }),
  (value) => {
    const said = Math.max(value.length - 5, 0);
    return { headers: [length(said)], value: said > 0 ? value.subarray(0, said) : none, isAmbiguous: true };
  },
  () => ({ headers: [], value: none, isAmbiguous: true }),
];

const oddChunks: ((value: Buffer, random: Random) => Pick<Framed, "bytes" | "value">)[] = [
  (value, random) => ({ bytes: chunks(value, random), value: none }),
  (value, random) => ({ bytes: Buffer.concat([chunks(value, random), Buffer.from("0\r\nX-Sum: 1\r\n\r\n")]), value }),
  (value, random) => ({ bytes: Buffer.concat([chunks(value, random), end, Buffer.from("after the end")]), value }),
  (value) => ({ bytes: sized("-", value), value: none }),
  (value) => ({ bytes: sized("0x", value), value: none }),
  (value) => ({ bytes: sized("+", value), value: none }),
  (value) => ({ bytes: sized("fffffffffffffff", value), value: none }),
  (value) => ({ bytes: sized("g", value), value: none }),
  (value) => ({ bytes: Buffer.concat([Buffer.from("\r\n"), value, end]), value: none }),
  (value) => ({
    bytes: Buffer.concat([Buffer.from(`${(value.length + 2).toString(16)}\r\n`), value, end]),
    value: none,
  }),
  (value) => ({
    bytes: Buffer.concat([Buffer.from(`${value.length.toString(16)}\n`), value, Buffer.from("\n0\n\n")]),
    value,
  }),
  (value) => ({
    bytes: Buffer.concat([Buffer.from(`${value.length.toString(16)} \r\n`), value, Buffer.from("\r\n"), end]),
    value,
  }),
];

/** The value as one chunk whose size has this before it. */
function sized(before: string, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${before}${value.length.toString(16)}\r\n`), value, Buffer.from("\r\n"), end]);
}

const oddCodings: ((value: Buffer) => Framed)[] = [
  (value) => ({ headers: [coding, length(value.length)], value }),
  (value) => ({ headers: [length(3), coding], value }),
  (value) => ({ headers: ["Transfer-Encoding: CHUNKED"], value }),
  (value) => ({ headers: ["Transfer-Encoding:\r\n chunked"], value }),
  () => ({ headers: ["Transfer-Encoding : chunked"], value: none }),
  () => ({ headers: ["Transfer-Encoding: gzip, chunked"], value: none }),
  () => ({ headers: ["Transfer-Encoding: chunked, gzip"], value: none }),
  () => ({ headers: ["Transfer-Encoding: xchunked"], value: none }),
  () => ({ headers: ["Transfer-Encoding: identity"], value: none }),
  () => ({ headers: ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], value: none }),
  (value) => ({ headers: [coding, "Trailer: X-Sum"], value }),
];
