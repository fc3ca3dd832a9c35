// Owns the lists of the objects of a bucket, page by page: version 1, version 2, and that of versions, of which each object
// has one. A page costs what is on it: what has a common prefix is passed over by a seek.
import { isUtf8 } from "node:buffer";
import { type Key, keyAfter, prefixEnd } from "../../format/key";
import { isUnlinked } from "../../format/record";
import { hasCode, reasonOf } from "../../errors";
import { warn } from "../../log";
import { s3Limits } from "../../s3-limits";
import { type SeenValue, recordedAt, statRecord, statValue } from "../../store/read";
import { type Store } from "../../store/store";
import { writtenFile } from "../../store/written";
import { inBatches } from "../../turns";
import { etagOf, sumOf } from "./attributes";
import { requireBucket } from "./buckets";
import { badArgument } from "./errors";
import { ownerNodes } from "./questions";
import { type S3Request, objectOf, prefixOf, wholeNumber } from "./request";
import { encodedPath } from "./signature";
import { nest, node, xmlAnswer } from "./xml";

/** What is on a page: a key, or a prefix, as bytes of the whole native key, that stands for many. */
type Entry = { readonly key: Key; readonly isPrefix: boolean };

/** What any list of names is asked: which ones, how many of them at most, how they are written. */
export type Question = {
  readonly bucket: string;
  readonly prefix: string;
  readonly delimiter: string;
  readonly most: number;
  readonly encode: (text: string) => string;
};

/** Answers GET of a bucket. */
export async function listObjects(store: Store, asked: S3Request): Promise<Response> {
  const { bucket, query } = asked;
  await requireBucket(store, bucket);
  const version = query("versions") !== undefined ? "versions" : query("list-type") === "2" ? 2 : 1;
  for (const name of version === 2 ? [] : ["start-after", "continuation-token"])
    if (query(name)) throw badArgument(name, query(name), `${name} is only taken with list-type=2`);
  const question = questionOf(asked, "max-keys");
  const { prefix, delimiter, most, encode } = question;
  const token = query("continuation-token");
  const starts = { 2: "start-after", 1: "marker", versions: "key-marker" } as const;
  const start = query(starts[version]) ?? "";
  const after = version === 2 && token ? readToken(token, bucket) : prefixOf(bucket, start);
  const { entries, next } = await pageOf(store, question, after);
  const nameOf = (key: Key) => encode(objectOf(key, bucket));
  const keys = entries.flatMap(({ key, isPrefix }) => (isPrefix ? [] : [key]));
  const isVersion = version === "versions";
  const owner = version !== 2 || query("fetch-owner") === "true" ? nest("Owner", ownerNodes) : "";
  const contents = await inBatches(keys, s3Limits.statsAtOnce, async (key) => {
    const value = await seenOf(store, key);
    if (!value) return [];
    const sum = sumOf(value);
    const parts = [
      node("Key", nameOf(key)),
      isVersion ? node("VersionId", "null") + node("IsLatest", "true") : "",
      node("LastModified", new Date(value.modified).toISOString()),
      node("ETag", `"${etagOf(value)}"`),
      node("ChecksumAlgorithm", sum?.algorithm.toUpperCase()) + node("ChecksumType", sum?.type),
      node("Size", value.bytes),
      owner,
      node("StorageClass", "STANDARD"),
    ];
    return [nest(isVersion ? "Version" : "Contents", ...parts)];
  });
  const prefixes = entries.flatMap(({ key, isPrefix }) => (isPrefix ? [node("Prefix", nameOf(key))] : []));
  const nodes = [...contents.flat(), ...prefixes.map((prefix) => nest("CommonPrefixes", prefix))];
  const head = [node("Name", bucket), node("Prefix", encode(prefix))]; // Some clients read all this in the order of AWS's schema.
  const last = next && nameOf(next);
  if (version === 2) {
    head.push(node("KeyCount", nodes.length), node("ContinuationToken", token));
    head.push(node("NextContinuationToken", next && Buffer.from(next).toString("base64url")));
    if (start !== "") head.push(node("StartAfter", encode(start)));
  } else if (version === 1) head.push(node("Marker", encode(start)), delimiter === "" ? "" : node("NextMarker", last));
  else {
    head.push(node("KeyMarker", encode(start)), node("VersionIdMarker", query("version-id-marker") ?? ""));
    head.push(node("NextKeyMarker", last), node("NextVersionIdMarker", last && "null"));
  }
  head.push(node("MaxKeys", most), headOf(asked, question, next !== undefined));
  return xmlAnswer(isVersion ? "ListVersionsResult" : "ListBucketResult", [...head, ...nodes].join(""));
}

/**
 * The names of a page, in the order of their bytes, and what the next one begins after, if there is one.
 * @param after what it begins after: a key, or a common prefix with all that it stands for
 */
async function pageOf(
  { ledger }: Store,
  { bucket, prefix, delimiter, most }: Question,
  after: Uint8Array,
): Promise<{ entries: readonly Entry[]; next: Key | undefined }> {
  const entries: Entry[] = [];
  const first = prefixOf(bucket, prefix);
  const [end, cutter] = [prefixEnd(first), Buffer.from(delimiter)];
  const entryOf = (key: Uint8Array): Entry => {
    const cut =
      delimiter === "" ? -1 : Buffer.from(key.buffer, key.byteOffset, key.length).indexOf(cutter, first.length);
    return { key: (cut < 0 ? key : key.subarray(0, cut + cutter.length)) as Key, isPrefix: cut >= 0 };
  };
  const before = entryOf(after); // What it stands for comes after it, and is not told of again.
  let start: Uint8Array | undefined = before.isPrefix ? prefixEnd(before.key) : keyAfter(after);
  if (start && Buffer.compare(start, first) < 0) start = first;
  while (most > 0 && start && (end === undefined || Buffer.compare(start, end) < 0)) {
    let seek: Uint8Array | undefined;
    let skipped = 0;
    scan: for await (const page of ledger.scan({ start, end }, { atOnce: most - entries.length + 1 })) {
      for (const [key, record] of page) {
        if (isUnlinked(record)) continue;
        const entry = entryOf(key);
        if (!isUtf8(entry.key)) continue; // S3 has no name for it: whoever read the list would ask for another key.
        const last = entries.at(-1)?.key;
        if (entry.isPrefix && last && Buffer.compare(last, entry.key) === 0) {
          if (++skipped < s3Limits.skipKeys) continue;
          seek = prefixEnd(entry.key);
          break scan;
        }
        if (entries.length === most) return { entries, next: last };
        skipped = 0;
        entries.push(entry);
      }
    }
    start = seek;
  }
  return { entries, next: undefined };
}

/**
 * A value with length and date. Where these were not written down, or are damaged, a volume is asked; undefined if none has it.
 */
export async function seenOf(store: Store, key: Key): Promise<SeenValue | undefined> {
  try {
    const value = await recordedAt(store, key);
    const file = value && writtenFile(value.attributes);
    return file ? { ...value, ...file } : await statValue(store, key).catch(unlessGone);
  } catch (error) {
    if (!hasCode(error, "corrupt")) throw error;
    warn(reasonOf(error)); // This key is refused for it, and no list that it is on.
    return await statRecord(store, key).catch(unlessGone);
  }
}

function unlessGone(error: unknown): undefined {
  if (!hasCode(error, "gone")) throw error;
}

/** @param max the parameter that says how many names are wanted. Throws S3Error InvalidArgument. */
export function questionOf(asked: S3Request, max: string): Question {
  const [prefix, delimiter] = [asked.query("prefix") ?? "", asked.query("delimiter") ?? ""];
  return { bucket: asked.bucket, prefix, delimiter, most: maxOf(asked, max), encode: encoderOf(asked) };
}

/** What every list repeats of its question. */
export function headOf(asked: S3Request, { delimiter, encode }: Question, isTruncated: boolean): string {
  return [
    node("Delimiter", delimiter === "" ? undefined : encode(delimiter)),
    node("EncodingType", asked.query("encoding-type")),
    node("IsTruncated", String(isTruncated)),
  ].join("");
}

/** How names are written: as they are, or percent-encoded. Throws S3Error InvalidArgument. */
export function encoderOf(asked: S3Request): (text: string) => string {
  const type = asked.query("encoding-type");
  if (type === undefined || type === "") return (text) => text;
  if (type.toLowerCase() !== "url") throw badArgument("encoding-type", type, "encoding-type is url or nothing");
  return (text) => encodedPath(Buffer.from(text));
}

/** Most entries of a page. Throws S3Error InvalidArgument. */
export function maxOf(asked: S3Request, name: string): number {
  return Math.min(wholeNumber(name, asked.query(name)) ?? s3Limits.pageKeys, s3Limits.pageKeys);
}

/** A token is the whole native key, as bytes. */
function readToken(token: string, bucket: string): Uint8Array {
  const key = Buffer.from(token, "base64url");
  const begin = prefixOf(bucket);
  if (key.subarray(0, begin.length).equals(begin) && key.toString("base64url") === token) return key;
  throw badArgument("continuation-token", token, "The continuation token provided is incorrect");
}
