// Owns copies: of an object, and of a part of one into an upload.
import { type Key } from "../../format/key";
import { type Attributes } from "../../ledger/ledger";
import { type SeenValue, openValue, setAttributes } from "../../store/read";
import { fromGoodCopies } from "../../store/recopy";
import { type Store } from "../../store/store";
import { type Transferred } from "../../store/transfer";
import { isReserved } from "../../store/uploads";
import { type ByteRange } from "../../volumes/read";
import { attributesIn, attributesOfCopy, attributesOfUpload, etagOf, typeOf } from "./attributes";
import { requireBucket } from "./buckets";
import { type Permit, permitOf, requireSource } from "./conditions";
import { S3Error } from "./errors";
import { type Document } from "./keep-alive";
import { storeBody } from "./objects";
import { type Payload, payloadFrom } from "./payload";
import { requirePlain } from "./questions";
import { type S3Request, noSuchKey, objectOf, readRequest, requireOwnVersion } from "./request";
import { letGo } from "./stream";
import { node } from "./xml";

/** The request that would read what is copied. */
type Source = S3Request & { readonly key: Key };

/** What `x-amz-copy-source` names. Throws S3Error InvalidArgument, NoSuchVersion, AccessDenied. */
export function sourceOf(asked: S3Request): Source {
  const text = asked.header("x-amz-copy-source")!;
  const [name = "", query = ""] = text.split("?", 2);
  // A plus is a space, as AWS has it. Some encode the slash after the bucket as well.
  const decoded = name.replace(/^\//, "").replace(/%2f/i, "/").replaceAll("+", "%20");
  const source = readRequest({ ...asked.request, url: `/${decoded}` });
  if (source.key === undefined)
    throw new S3Error("InvalidArgument", "x-amz-copy-source is BUCKET/KEY, percent-encoded");
  requireOwnVersion(query.replace(/^versionId=/, ""));
  if (isReserved(source.key)) throw new S3Error("AccessDenied", "what x-amz-copy-source names is not for clients");
  return source as Source;
}

/** Copies an object. Throws S3Error NoSuchKey, PreconditionFailed, InvalidRequest. */
export async function copyObject(store: Store, asked: S3Request): Promise<Document> {
  requirePlain(asked);
  const source = sourceOf(asked);
  const directive = asked.header("x-amz-metadata-directive")?.toUpperCase() ?? "COPY";
  if (directive !== "COPY" && directive !== "REPLACE")
    throw new S3Error("InvalidArgument", "x-amz-metadata-directive is COPY or REPLACE");
  const isOnto = Buffer.compare(source.key, asked.key!) === 0;
  if (isOnto && directive === "COPY")
    throw new S3Error("InvalidRequest", "An object is only copied onto itself with x-amz-metadata-directive: REPLACE");
  await requireBucket(store, asked.bucket);
  const permit = permitOf(asked);
  if (isOnto) return await retype(store, asked, { attributes: attributesIn(asked), permit });
  const how = { source, rangeOf: whole, root: "CopyObjectResult" };
  return await copyFrom(store, asked, how, async (payload, seen) => {
    const type = typeOf(seen, objectOf(source.key, source.bucket));
    const attributes = directive === "REPLACE" ? attributesIn(asked) : attributesOfCopy(seen, type);
    return await storeBody(store, asked.key!, payload, { attributes, permit });
  });
}

/** Other attributes for an object that stays where it is. */
async function retype(
  store: Store,
  asked: S3Request,
  { attributes, permit }: { attributes: Attributes; permit: Permit | undefined },
): Promise<Document> {
  const seen = await openValue(store, asked.key!, (value) => void requireSource(asked, value));
  if (!seen) throw noSuchKey(asked);
  const kept = { ...attributes, ...attributesOfUpload(seen) };
  await setAttributes(store, asked.key!, {
    attributes: kept,
    permit(before) {
      permit?.(before);
      if (before.record?.md5 !== seen.record.md5)
        throw new S3Error("PreconditionFailed", "the object was replaced meanwhile");
    },
  });
  return result("CopyObjectResult", etagOf(seen), seen.modified);
}

/** What is copied, and what the answer is called. */
type Copying = { readonly source: Source; readonly rangeOf: (seen: SeenValue) => ByteRange; readonly root: string };

/**
 * Has what is to be copied stored, from copies of it that are good.
 * @param storeCopy stores these bytes of the source
 * @throws S3Error NoSuchKey, PreconditionFailed; what `rangeOf` and `storeCopy` throw
 */
export async function copyFrom(
  store: Store,
  asked: S3Request,
  { source, rangeOf, root }: Copying,
  storeCopy: (payload: Payload, source: SeenValue) => Promise<Transferred>,
): Promise<Document> {
  const { md5, date } = await fromGoodCopies(async (bad) => {
    let bytes = 0;
    const choose = (value: SeenValue) => {
      requireSource(asked, value);
      const range = rangeOf(value);
      bytes = range.bytes;
      return range;
    };
    const seen = await openValue(store, source.key, choose, { bad });
    if (!seen) {
      await requireBucket(store, source.bucket);
      throw noSuchKey(source);
    }
    const chunks = seen.chunks ?? nothing();
    try {
      return await storeCopy(payloadFrom(chunks, bytes), seen);
    } finally {
      await letGo(chunks[Symbol.asyncIterator]());
    }
  });
  return result(root, md5!, date);
}

/** All the bytes of a value. */
export function whole({ bytes }: SeenValue): ByteRange {
  return { from: 0, bytes };
}

/** What is told of a copy; `date` is an HTTP date. */
function result(root: string, etag: string, date: string): Document {
  return { root, inner: node("LastModified", new Date(date).toISOString()) + node("ETag", `"${etag}"`) };
}

/** The bytes of an empty object; a stream could not be asked twice. */
async function* nothing(): AsyncGenerator<Uint8Array> {}
