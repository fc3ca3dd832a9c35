// Owns copies: of an object, and of a part of one into an upload.
import { type Key } from "../../format/key";
import { type SeenValue, openValue, setAttributes } from "../../store/read";
import { fromGoodCopies } from "../../store/recopy";
import { type Permit, type Store } from "../../store/store";
import { type Transferred } from "../../store/transfer";
import { isReserved } from "../../store/uploads";
import { writtenFile } from "../../store/written";
import { type ByteRange } from "../../volumes/read";
import { attributesIn, attributesOfBytes, attributesOfCopy, etagOf, sumNode, sumOf, typeOf } from "./attributes";
import { missing, requireBucket } from "./buckets";
import { type Algorithm, type Sum, algorithmNamed } from "./checksums";
import { permitOf, requireSource } from "./conditions";
import { S3Error, badArgument } from "./errors";
import { type Document } from "./keep-alive";
import { storeBody } from "./objects";
import { type Payload, payloadFrom } from "./payload";
import { notImplemented, requirePlain } from "./questions";
import { type S3Request, objectOf, readRequest, requireOwnVersion } from "./request";
import { letGo } from "../stream";
import { node } from "./xml";

/** The request that would read what is copied. */
type Source = S3Request & { readonly key: Key };

/** What `x-amz-copy-source` names. Throws S3Error InvalidArgument, NoSuchVersion, AccessDenied. */
export function sourceOf(asked: S3Request): Source {
  const text = asked.header("x-amz-copy-source")!;
  const [name = "", query = ""] = text.split("?", 2);
  // A plus is a space, as AWS has it. Some encode the slash before the bucket as well.
  const decoded = name.replace(/^(\/|%2f)/i, "").replaceAll("+", "%20");
  const source = readRequest({ ...asked.request, url: `/${decoded}` });
  if (source.key === undefined)
    throw badArgument("x-amz-copy-source", text, "x-amz-copy-source is BUCKET/KEY, percent-encoded");
  requireOwnVersion(query.replace(/^versionId=/, ""));
  if (isReserved(source.key)) throw new S3Error("AccessDenied", "what x-amz-copy-source names is not for clients");
  return source as Source;
}

/** Copies an object. Throws S3Error NoSuchKey, PreconditionFailed, InvalidRequest, NotImplemented. */
export async function copyObject(store: Store, asked: S3Request): Promise<Document> {
  requirePlain(asked);
  if (asked.header("x-amz-copy-source-range") !== undefined)
    throw notImplemented("x-amz-copy-source-range of a copy that is no part");
  const source = sourceOf(asked);
  const name = "x-amz-metadata-directive";
  const directive = asked.header(name)?.toUpperCase() ?? "COPY";
  if (directive !== "COPY" && directive !== "REPLACE")
    throw badArgument(name, asked.header(name), `${name} is COPY or REPLACE`);
  const isOnto = Buffer.compare(source.key, asked.key!) === 0;
  if (isOnto && directive === "COPY" && !asked.header("x-amz-storage-class"))
    throw new S3Error("InvalidRequest", "a copy onto itself has x-amz-metadata-directive: REPLACE, or a storage class");
  await requireBucket(store, asked.bucket);
  const permit = permitOf(asked);
  const algorithm = algorithmNamed(asked.header("x-amz-checksum-algorithm"));
  const retyped = isOnto && directive === "REPLACE" && !algorithm && (await retype(store, asked, permit));
  if (retyped) return retyped;
  const sumBy = (seen: SeenValue) => algorithm ?? sumOf(seen)?.algorithm;
  const how = { source, rangeOf: whole, root: "CopyObjectResult", sumBy };
  return await copyFrom(store, asked, how, async (payload, seen) => {
    const type = typeOf(seen, objectOf(source.key, source.bucket));
    const attributes = directive === "REPLACE" ? attributesIn(asked) : attributesOfCopy(seen, type);
    return await storeBody(store, asked.key!, payload, {
      attributes,
      permit: isOnto ? permitSame(seen, permit) : permit,
    });
  });
}

/** Demands that the object is still the one that was read, and what is demanded besides. */
function permitSame({ record }: SeenValue, permit: Permit | undefined): Permit {
  return (before) => {
    permit?.(before);
    if (before.record?.md5 !== record.md5) throw new S3Error("PreconditionFailed", "the object was replaced meanwhile");
  };
}

/** Other attributes for an object that stays where it is; undefined without an MD5, by which they would be known as its own. */
async function retype(store: Store, asked: S3Request, permit: Permit | undefined): Promise<Document | undefined> {
  const attributes = attributesIn(asked);
  const seen = await openValue(store, asked.key!, (value) => void requireSource(asked, value));
  if (!seen) throw await missing(store, asked);
  if (seen.record.md5 === undefined) return undefined;
  const permitBytes = permitSame(seen, permit);
  let now = seen;
  await setAttributes(store, asked.key!, (value) => {
    permitBytes(value);
    now = { ...seen, ...value, ...writtenFile(value.attributes) }; // The same bytes may have been put again.
    requireSource(asked, now);
    return { ...attributes, ...attributesOfBytes(now) };
  });
  return result("CopyObjectResult", { etag: etagOf(now), date: now.modified, sum: sumOf(now) });
}

/** What is copied, by what it gets a sum, and what the answer is called. */
type Copying = {
  readonly source: Source;
  readonly rangeOf: (seen: SeenValue) => ByteRange;
  readonly sumBy: (seen: SeenValue) => Algorithm | undefined;
  readonly root: string;
};

/**
 * Has what is to be copied stored, from copies of it that are good.
 * @param storeCopy stores these bytes of the source
 * @throws S3Error NoSuchKey, PreconditionFailed; what `rangeOf` and `storeCopy` throw
 */
export async function copyFrom(
  store: Store,
  asked: S3Request,
  { source, rangeOf, sumBy, root }: Copying,
  storeCopy: (payload: Payload, source: SeenValue) => Promise<Transferred>,
): Promise<Document> {
  return await fromGoodCopies(async (bad) => {
    const choose = (value: SeenValue) => {
      requireSource(asked, value);
      return rangeOf(value);
    };
    const seen = await openValue(store, source.key, choose, { bad });
    if (!seen) throw await missing(store, source);
    const chunks = seen.chunks ?? nothing();
    const algorithm = sumBy(seen);
    const payload = payloadFrom(chunks, rangeOf(seen).bytes, algorithm && { algorithm });
    try {
      const { md5, date } = await storeCopy(payload, seen);
      return result(root, { etag: md5!, date, sum: payload.sum() });
    } finally {
      await letGo(chunks[Symbol.asyncIterator]());
    }
  });
}

/** All the bytes of a value. */
export function whole({ bytes }: SeenValue): ByteRange {
  return { from: 0, bytes };
}

/** The bytes of a value that a part is to have. Throws S3Error InvalidArgument, InvalidRequest. */
export function sourceRange(asked: S3Request, seen: SeenValue): ByteRange {
  const name = "x-amz-copy-source-range";
  const text = asked.header(name);
  if (text === undefined) return whole(seen);
  const match = /^bytes=(\d+)-(\d+)$/.exec(text);
  const [from, to] = match ? [Number(match[1]), Number(match[2])] : [1, 0];
  if (from > to) throw badArgument(name, text, `${name} is bytes=FIRST-LAST`);
  if (from >= seen.bytes)
    throw new S3Error("InvalidRequest", "The specified copy range is invalid for the source object size");
  if (to >= seen.bytes) throw badArgument(name, text, `the source has ${seen.bytes} bytes`);
  return { from, bytes: to - from + 1 };
}

/** What is told of a copy; `date` is an HTTP date. */
function result(root: string, { etag, date, sum }: { etag: string; date: string; sum: Sum | undefined }): Document {
  const modified = node("LastModified", new Date(date).toISOString());
  return { root, inner: modified + node("ETag", `"${etag}"`) + sumNode(sum) };
}

/** The bytes of an empty object; a stream could not be asked twice. */
async function* nothing(): AsyncGenerator<Uint8Array> {}
