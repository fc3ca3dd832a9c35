// Owns what S3 keeps of an object beside its bytes, as attributes of the value: the headers that it was put with, and what
// is not the MD5 of a value that came in parts. A value that was put by the native dialect has none.
import { type Attributes } from "../../ledger/ledger";
import { type SeenValue, type Value } from "../../store/read";
import { uploadName } from "../../store/uploads";
import { bytesName, dateName } from "../../store/written";
import { type Sum, algorithmOf, headerOf } from "./checksums";
import { S3Error } from "./errors";
import { type S3Request, headerText, objectOf } from "./request";
import { node } from "./xml";

/** Names of attributes that are no headers: of an object in parts its entity tag, its parts. */
export const tagName = "etag";
export const partsName = "parts";

const ofBytes = [tagName, uploadName, partsName, bytesName, dateName];

const kept = [
  "content-type",
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "expires",
];
const metaPrefix = "x-amz-meta-";
const metaBytes = 2048;

/** What the headers of a put say that is to be kept. Throws S3Error MetadataTooLarge. */
export function attributesIn({ fields, header }: S3Request): Attributes {
  const found: Record<string, string> = { "content-type": header("content-type") || "binary/octet-stream" };
  for (const name of kept.slice(1)) {
    const value = name === "content-encoding" ? withoutFraming(header(name)) : header(name);
    if (value !== undefined && value !== "") found[name] = value;
  }
  let bytes = 0;
  for (const [name, value] of fields) {
    if (!name.startsWith(metaPrefix)) continue;
    found[name] = value;
    bytes += name.length - metaPrefix.length + value.length;
  }
  if (bytes > metaBytes)
    throw new S3Error("MetadataTooLarge", `names and values of x-amz-meta-* have at most ${metaBytes} bytes`);
  return found;
}

/** The framing of the body is no encoding of the object. What else is said stays as it was sent. */
function withoutFraming(encoding: string | undefined): string | undefined {
  const parts = encoding?.split(",").filter((part) => !/^\s*(aws-chunked)?\s*$/i.test(part));
  return parts?.join(",").trim();
}

/** The attributes of a copy: what was of the bytes, and of the upload of the parts, is not of it. */
export function attributesOfCopy({ attributes = {} }: Value, type: string): Attributes {
  const rest = Object.entries(attributes).filter(([name]) => !isOfBytes(name));
  return { "content-type": type, ...Object.fromEntries(rest) };
}

/** The attributes that an object has by its bytes, and by the upload of its parts, whatever else is said of it. */
export function attributesOfBytes({ attributes = {} }: Value): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([name]) => isOfBytes(name)));
}

function isOfBytes(name: string): boolean {
  return ofBytes.includes(name) || algorithmOf(name) !== undefined;
}

/** The entity tag, without quotes: the MD5, but of an object in parts. */
export function etagOf({ record, attributes }: Value): string {
  return attributes?.[tagName] ?? record.md5 ?? "00000000000000000000000000000000-1";
}

/** The type of an object; of a native value, by its name. */
export function typeOf({ attributes }: Value, name: string): string {
  return attributes ? (attributes["content-type"] ?? "binary/octet-stream") : Bun.file(name.replaceAll("\0", "")).type;
}

/** What the answer to GET and HEAD says of the whole object. */
export function headersOf(asked: S3Request, value: SeenValue): Record<string, string> {
  const headers: Record<string, string> = {
    "content-type": typeOf(value, objectOf(asked.key!, asked.bucket)),
    etag: `"${etagOf(value)}"`,
    "last-modified": value.modified,
    "accept-ranges": "bytes",
  };
  for (const [name, text] of Object.entries(value.attributes ?? {}))
    if (kept.includes(name) || name.startsWith(metaPrefix)) headers[name] = text;
  return headers;
}

/** The sum of an object: by what, how it is written, and whether it is of all bytes; undefined without one. */
export function sumOf({ attributes = {} }: Pick<Value, "attributes">) {
  for (const [name, sum] of Object.entries(attributes)) {
    const algorithm = algorithmOf(name);
    if (algorithm) return { algorithm, sum, type: sum.includes("-") ? "COMPOSITE" : "FULL_OBJECT" };
  }
  return undefined;
}

/** The same as headers. */
export function sumHeaders(value: Pick<Value, "attributes">): Record<string, string> {
  const found = sumOf(value);
  return found ? { [headerOf(found.algorithm)]: found.sum, "x-amz-checksum-type": found.type } : {};
}

/** A sum as an element; nothing for undefined. */
export function sumNode(found: Sum | undefined): string {
  return found ? node(`Checksum${found.algorithm.toUpperCase()}`, found.sum) : "";
}

/** The headers that a signed GET wants instead, by `response-*` in its query. Throws S3Error InvalidArgument. */
export function overrides({ parameters }: S3Request): Record<string, string> {
  const found = parameters.flatMap(([parameter, value]): [string, string][] => {
    const name = parameter.startsWith("response-") ? parameter.slice("response-".length) : "";
    return kept.includes(name) ? [[name, headerText(parameter, value)]] : [];
  });
  return Object.fromEntries(found);
}
