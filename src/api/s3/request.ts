// Owns what a request of S3 is about, before anybody is asked who sent it: bucket, key, parameters.
// A path is BUCKET/KEY, percent-encoded: the object is the native key of that path, as bytes, "." and ".." included. It is
// taken apart when it is decoded: what is signed does not tell "%2F" from "/", so both must name the same.
import { type Key, decodePercent } from "../../format/key";
import { limits } from "../../limits";
import { splitUrl } from "../url";
import { S3Error, badArgument } from "./errors";

/**
 * What the dialect reads of a request; its `url` is the target as it was sent, with the bucket before it if that stood in the
 * name of the host: then `sent` is without.
 */
export type Incoming = Pick<Request, "method" | "url" | "headers" | "body" | "signal"> & { readonly sent?: string };

/** The target with its bucket, where the host is BUCKET.DOMAIN; undefined if it is not, or buckets have no domain. */
export function targetOf(sent: string, host: string | undefined, domain: string | undefined): string | undefined {
  const name = host?.replace(/:\d+$/, "").toLowerCase();
  if (domain === undefined || !name?.endsWith(`.${domain}`) || !sent.startsWith("/")) return undefined;
  return `/${name.slice(0, -domain.length - 1)}${sent}`;
}

/** A request, taken apart. */
export type S3Request = {
  readonly request: Incoming;
  /** As it was sent. */
  readonly path: string;
  /** Empty for none. */
  readonly bucket: string;
  /** The native key of the object; undefined where the request is about the bucket, or all of them. */
  readonly key: Key | undefined;
  /** In the order in which they were sent. */
  readonly parameters: readonly (readonly [name: string, value: string])[];
  /** The headers, and what a presigned link says in their place. */
  readonly fields: Headers;
  /** The first parameter of this name. */
  query(name: string): string | undefined;
  /** One of the fields, with its bytes as Latin-1; undefined for none. */
  header(name: string): string | undefined;
};

/**
 * Parameters that stand for headers: not those of the signature, and no sum, which was made before there was a body (AWS
 * passes over those, too). Version 2 of the SDK for JavaScript puts type and MD5 there.
 */
const isLifted =
  /^(content-type$|content-md5$|x-amz-(?!algorithm$|credential$|date$|expires$|signedheaders$|signature$|security-token$|content-sha256$|checksum-|sdk-))/i;

/** Throws S3Error InvalidArgument, KeyTooLongError. */
export function readRequest(request: Incoming): S3Request {
  const { path: place, query } = splitUrl(request.url);
  const parts = query.split("&").filter((part) => part !== "");
  const parameters = parts.map(readPair);
  const whole = decodePercent(place);
  const slash = whole.indexOf("/", 1);
  const bucket = whole.toString("utf8", 1, slash < 0 ? whole.length : slash);
  const lifted = parameters.filter(([name]) => isLifted.test(name));
  const fields = lifted.length === 0 ? request.headers : new Headers(request.headers);
  for (const [name, value] of lifted) {
    const text = headerText(name, value);
    if (!fields.has(name)) fields.set(name, text);
  }
  const isObject = slash >= 0 && slash < whole.length - 1;
  return {
    ...{ request, path: splitUrl(request.sent ?? request.url).path, bucket, parameters, fields },
    key: isObject ? keyOf(whole) : undefined,
    query: (name) => parameters.find(([other]) => other === name)?.[1],
    header: (name) => fields.get(name) ?? undefined,
  };
}

/** Whether a request has no body, or an empty one. */
export function isBare({ header }: S3Request): boolean {
  return (header("content-length") ?? "0") === "0" && header("transfer-encoding") === undefined;
}

/** The value of a parameter that stands for a header: its bytes as Latin-1. Throws S3Error InvalidArgument if it could not. */
export function headerText(name: string, value: string): string {
  const text = Buffer.from(value).toString("latin1");
  if (/^[a-z0-9-]+$/i.test(name) && !/[\0-\x08\x0a-\x1f\x7f]/.test(text)) return text;
  throw badArgument(name, value, `the parameter ${name} could not be a header`);
}

/** These bytes as a key. Throws S3Error KeyTooLongError. */
export function keyOf(key: Uint8Array): Key {
  if (key.length <= limits.keyBytes) return key as Key;
  throw new S3Error("KeyTooLongError", `bucket and key have at most ${limits.keyBytes - 2} bytes together`);
}

function readPair(text: string): readonly [name: string, value: string] {
  const equals = text.indexOf("=");
  const [name, value] = equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
  return [decoded(name.replaceAll("+", " ")), decoded(value.replaceAll("+", " "))];
}

function decoded(text: string): string {
  return decodePercent(text).toString("utf8");
}

/** The first key of an object in a bucket, and what all its keys begin with. */
export function prefixOf(bucket: string, prefix = ""): Key {
  return Buffer.from(`/${bucket}/${prefix}`) as Uint8Array as Key;
}

/** The name of an object in its bucket. */
export function objectOf(key: Uint8Array, bucket: string): string {
  return Buffer.from(key).toString("utf8", Buffer.byteLength(bucket) + 2);
}

/** What a parameter, or header, says; undefined for nothing. Throws S3Error InvalidArgument. */
export function wholeNumber(name: string, text: string | undefined): number | undefined {
  if (text === undefined || text === "") return undefined;
  if (!/^\d{1,10}$/.test(text)) throw badArgument(name, text, `${name} is a whole number from 0`);
  return Number(text);
}

/** Throws S3Error NoSuchVersion: every object has one version, which is called null. */
export function requireOwnVersion(version: string | undefined): void {
  if (version === undefined || version === "" || version === "null") return;
  throw new S3Error("NoSuchVersion", "objects have one version here: null");
}

/** Whether this names an entity tag: as it is, or in quotes. */
export function isTag(text: string, etag: string): boolean {
  return text.trim().replace(/^W\//, "").replace(/^"|"$/g, "") === etag;
}

/** Whether a list of entity tags names this one, or any. */
export function namesTag(list: string, etag: string): boolean {
  return list.trim() === "*" || list.split(",").some((text) => isTag(text, etag));
}
