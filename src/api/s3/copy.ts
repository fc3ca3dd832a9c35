// Owns copies: of an object, and of a part of one into an upload.
import { type Key } from "../../format/key";
import { type Attributes, type KnownValue } from "../../ledger/ledger";
import { type SeenValue, openValue, setAttributes } from "../../store/read";
import { type BadCopies, fromGoodCopies } from "../../store/recopy";
import { type Store } from "../../store/store";
import { isReserved } from "../../store/uploads";
import { type ByteRange } from "../../volumes/read";
import { attributesIn, attributesOfCopy, attributesOfUpload, etagOf, typeOf } from "./attributes";
import { requireBucket } from "./buckets";
import { permitOf, requireSource } from "./conditions";
import { S3Error } from "./errors";
import { type Document } from "./keep-alive";
import { storeBody } from "./objects";
import { type Payload } from "./payload";
import { requirePlain } from "./questions";
import { type S3Request, objectOf, readRequest } from "./request";
import { letGo } from "./stream";
import { node } from "./xml";

/** What `x-amz-copy-source` names. Throws S3Error InvalidArgument, NoSuchVersion, AccessDenied. */
export function sourceOf(asked: S3Request): S3Request & { readonly key: Key } {
  const text = asked.header("x-amz-copy-source")!;
  const [name = "", query = ""] = text.split("?", 2);
  const decoded = name.replace(/^\//, "").replace(/%2f/i, "/"); // Some encode the slash after the bucket as well.
  const source = readRequest({ ...asked.request, url: `/${decoded}` });
  if (source.key === undefined)
    throw new S3Error("InvalidArgument", "x-amz-copy-source is BUCKET/KEY, percent-encoded");
  if (query !== "" && query !== "versionId=null")
    throw new S3Error("NoSuchVersion", "objects have one version here: null");
  if (isReserved(source.key)) throw new S3Error("AccessDenied", "what x-amz-copy-source names is not for clients");
  return source as S3Request & { key: Key };
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
  const attributes = (seen: SeenValue) =>
    directive === "REPLACE"
      ? attributesIn(asked)
      : attributesOfCopy(seen, typeOf(seen, objectOf(source.key, source.bucket)));
  if (isOnto) return await retype(store, asked, { attributes: attributesIn(asked), permit });
  const { md5, date } = await fromGoodCopies(async (bad) => {
    const whole = ({ bytes }: SeenValue) => ({ from: 0, bytes });
    const { seen, payload } = await openSource(store, asked, { source, choose: whole, bad });
    try {
      return await storeBody(store, asked.key!, payload, { attributes: attributes(seen), permit });
    } finally {
      await letGo(payload.chunks[Symbol.asyncIterator]());
    }
  });
  return result("CopyObjectResult", md5!, date);
}

/** Other attributes for an object that stays where it is. */
async function retype(
  store: Store,
  asked: S3Request,
  { attributes, permit }: { attributes: Attributes; permit: ((before: KnownValue) => void) | undefined },
): Promise<Document> {
  const seen = await openValue(store, asked.key!, (value) => void requireSource(asked, value));
  if (!seen) throw noSource(asked);
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

/** A part of another object, as a body. Throws S3Error NoSuchKey, PreconditionFailed, what `choose` throws. */
export async function openSource(
  store: Store,
  asked: S3Request,
  {
    source,
    choose,
    bad,
  }: { source: S3Request & { readonly key: Key }; choose: (seen: SeenValue) => ByteRange; bad: BadCopies },
): Promise<{ seen: SeenValue; payload: Payload }> {
  let bytes = 0;
  const chosen = (value: SeenValue) => {
    requireSource(asked, value);
    const range = choose(value);
    bytes = range.bytes;
    return range;
  };
  const seen = await openValue(store, source.key, chosen, { bad });
  if (!seen) {
    await requireBucket(store, source.bucket);
    throw noSource(source);
  }
  const chunks = seen.chunks ?? nothing();
  return { seen, payload: { chunks, bytes, md5: undefined, withdrawn: undefined, sum: () => undefined } };
}

/** What is told of a copy; `date` is an HTTP date. */
export function result(root: string, etag: string, date: string): Document {
  return { root, inner: node("LastModified", new Date(date).toISOString()) + node("ETag", `"${etag}"`) };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

function noSource({ key, bucket }: S3Request): S3Error {
  return new S3Error("NoSuchKey", "The specified key does not exist.", { fields: { Key: objectOf(key!, bucket) } });
}
