// Owns Signature Version 4 as a client makes it: an independent opinion of what the port must accept.
import { createHash, createHmac } from "node:crypto";
import { type Answer, request } from "./http";
import { accessKeyId, secretAccessKey } from "./s3";

export interface Signing {
  accessKey?: string;
  secret?: string;
  region?: string;
  /** Time of the request; now, unless something else is said. */
  at?: Date;
  /** The x-amz-content-sha256; that of the body, unless something else is said. */
  payload?: string;
  /** Headers that are sent, but not signed. */
  unsigned?: readonly string[];
}

export interface Asked extends Signing {
  method?: string;
  /** As it goes into the request line. */
  target: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  chunkBytes?: number;
}

const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest("hex");
const hmac = (key: string | Uint8Array, text: string) => createHmac("sha256", key).update(text).digest();
const encode = (text: string) =>
  Buffer.from(text)
    .toString("latin1")
    .replace(/[^A-Za-z0-9._~-]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);

export function dateOf(at: Date): string {
  return `${at.toISOString().slice(0, 19).replace(/[-:]/g, "")}Z`;
}

/** The key that a day's requests are signed with, and their scope. */
export function signingKey({ secret = secretAccessKey, region = "us-east-1" }: Signing, day: string) {
  const scope = `${day}/${region}/s3/aws4_request`;
  const key = scope.split("/").reduce<string | Uint8Array>((key, part) => hmac(key, part), `AWS4${secret}`) as Buffer;
  return { key, scope };
}

function canonical(method: string, target: string, headers: Record<string, string>, payload: string): string {
  const [path = "", query = ""] = target.split("?", 2);
  const pairs =
    query === ""
      ? []
      : query.split("&").map((pair) => pair.split("=", 2).map((part) => encode(decodeURIComponent(part))));
  const sorted = pairs.map(([name, value = ""]) => `${name}=${value}`).sort();
  const names = Object.keys(headers)
    .map((name) => name.toLowerCase())
    .sort();
  const valueOf = (name: string) => Object.entries(headers).find(([other]) => other.toLowerCase() === name)![1];
  const lines = names.map((name) => `${name}:${valueOf(name).replace(/[ \t]+/g, " ")}\n`);
  const segments = path.split("/").map((part) => encodeBytes(part));
  return [method, segments.join("/"), sorted.join("&"), lines.join(""), names.join(";"), payload].join("\n");
}

/** A segment as it was sent, decoded and encoded anew, but for slashes. */
function encodeBytes(segment: string): string {
  const bytes = Buffer.from(
    segment.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))),
    "latin1",
  );
  return bytes
    .toString("latin1")
    .replace(/[^A-Za-z0-9._~/-]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}

/** The headers that sign this request, with its signature. */
export function sign(
  asked: Asked,
  host = "localhost",
): { headers: Record<string, string>; signature: string; date: string } {
  const { method = "GET", target, body = "", accessKey = accessKeyId, at = new Date() } = asked;
  const date = dateOf(at);
  const payload = asked.payload ?? sha256(body);
  const headers = { ...asked.headers, host, "x-amz-date": date, "x-amz-content-sha256": payload };
  const { key, scope } = signingKey(asked, date.slice(0, 8));
  const signed = Object.fromEntries(Object.entries(headers).filter(([name]) => !asked.unsigned?.includes(name)));
  const text = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(Buffer.from(canonical(method, target, signed, payload), "latin1"))}`;
  const signature = hmac(key, text).toString("hex");
  const names = Object.keys(signed)
    .map((name) => name.toLowerCase())
    .sort()
    .join(";");
  const authorization = `AWS4-HMAC-SHA256 Credential=${accessKey}/${scope}, SignedHeaders=${names}, Signature=${signature}`;
  const { host: _, ...sent } = headers;
  return { headers: { ...sent, authorization }, signature, date };
}

/** The target of a presigned link. */
export function presign(asked: Asked & { expires?: number }, host = "localhost"): string {
  const { method = "GET", target, accessKey = accessKeyId, at = new Date(), expires = 60 } = asked;
  const date = dateOf(at);
  const { key, scope } = signingKey(asked, date.slice(0, 8));
  const query = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=${encode(`${accessKey}/${scope}`)}&X-Amz-Date=${date}&X-Amz-Expires=${expires}&X-Amz-SignedHeaders=host`;
  const full = `${target}${target.includes("?") ? "&" : "?"}${query}`;
  const text = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(canonical(method, full, { host }, "UNSIGNED-PAYLOAD"))}`;
  return `${full}&X-Amz-Signature=${hmac(key, text).toString("hex")}`;
}

/** A signed request, byte for byte as it is told. */
export async function ask(port: number, asked: Asked): Promise<Answer> {
  const { headers } = sign(asked);
  const { method = "GET", target, body, chunkBytes } = asked;
  return await request(port, { method, target, headers, ...(body !== undefined && { body }), chunkBytes });
}

/** A body in AWS's own chunks, each signed; `spoil` changes the signature of the chunk of this number. */
export function framed(
  data: Uint8Array,
  {
    seed,
    date,
    chunkBytes = 65_536,
    spoil = -1,
    trailer,
  }: { seed?: string; date: string; chunkBytes?: number; spoil?: number; trailer?: string },
): Buffer {
  const { key, scope } = signingKey({}, date.slice(0, 8));
  const parts: Buffer[] = [];
  let last = seed ?? "";
  for (let at = 0, number = 0; ; at += chunkBytes, number++) {
    const chunk = data.subarray(at, at + chunkBytes);
    if (seed !== undefined) {
      const text = ["AWS4-HMAC-SHA256-PAYLOAD", date, scope, last, sha256(""), sha256(chunk)].join("\n");
      last = hmac(key, text).toString("hex");
    }
    const shown = number === spoil ? last.replace(/^./, (c) => (c === "0" ? "1" : "0")) : last;
    parts.push(
      Buffer.from(`${chunk.length.toString(16)}${seed === undefined ? "" : `;chunk-signature=${shown}`}\r\n`),
      Buffer.from(chunk),
    );
    if (chunk.length === 0) break;
    parts.push(Buffer.from("\r\n"));
  }
  if (trailer !== undefined) {
    parts.push(Buffer.from(`${trailer}\r\n`));
    if (seed !== undefined) {
      const text = ["AWS4-HMAC-SHA256-TRAILER", date, scope, last, sha256(`${trailer}\n`)].join("\n");
      parts.push(Buffer.from(`x-amz-trailer-signature:${hmac(key, text).toString("hex")}\r\n`));
    }
  }
  return Buffer.concat([...parts, Buffer.from("\r\n")]);
}
