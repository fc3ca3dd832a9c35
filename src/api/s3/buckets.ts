// Owns buckets: what is remembered of them, and the questions about one. A bucket is the first segment of a key. It exists if
// it was made, or if a live key begins with it.
import { isUtf8 } from "node:buffer";
import { isUnlinked } from "../../format/record";
import { s3Limits } from "../../s3-limits";
import { keyAfter, prefixEnd } from "../../format/key";
import { type KeyRange } from "../../ledger/ledger";
import { type Store } from "../../store/store";
import { endUploads, isReserved } from "../../store/uploads";
import { S3Error, badArgument } from "./errors";
import { type Asked } from "./payload";
import { notImplemented, ownerNodes, requirePlain } from "./questions";
import { documentIn, readXml } from "./read-xml";
import { type S3Request, objectOf, prefixOf, wholeNumber } from "./request";
import { nest, node, xmlAnswer } from "./xml";

/** Whose the objects of a bucket are: everything has one owner, and no access control lists. */
const ownership = "BucketOwnerEnforced";

/** Throws S3Error NoSuchBucket. */
export async function requireBucket(store: Store, bucket: string): Promise<void> {
  if ((await store.buckets.has(bucket)) || (await hasObjects(store, bucket))) return;
  throw new S3Error("NoSuchBucket", "The specified bucket does not exist", { BucketName: bucket });
}

/** The failure of a request about an object that is not there: it is missing, or its bucket is. Throws S3Error NoSuchBucket. */
export async function missing(store: Store, { key, bucket }: S3Request): Promise<S3Error> {
  await requireBucket(store, bucket);
  return new S3Error("NoSuchKey", "The specified key does not exist.", { Key: objectOf(key!, bucket) });
}

/** Answers HEAD of a bucket. */
export async function headBucket(store: Store, { bucket }: S3Request): Promise<Response> {
  await requireBucket(store, bucket);
  return new Response(null);
}

/** Answers GET ?location. */
export async function locateBucket(store: Store, { bucket }: S3Request): Promise<Response> {
  await requireBucket(store, bucket);
  return xmlAnswer("LocationConstraint", "");
}

/** Answers PUT of a bucket. */
export async function createBucket(store: Store, asked: Asked): Promise<Response> {
  const document = await documentIn(asked.payload());
  const wanted = document.length > 0 ? readXml(document, "CreateBucketConfiguration").children : [];
  for (const { name } of wanted) if (name !== "LocationConstraint") throw notImplemented(`${name} of a bucket`);
  const { bucket, header } = asked;
  const isName = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket) && !/^\d+(\.\d+){3}$|\.\.|\.-|-\./.test(bucket);
  if (!isName)
    throw new S3Error(
      "InvalidBucketName",
      "a bucket has 3 to 63 of a-z 0-9 . -, no dot beside . or -, and is no address",
      { BucketName: bucket },
    );
  requirePlain(asked);
  if (header("x-amz-bucket-object-lock-enabled")?.toLowerCase() === "true") throw notImplemented("object lock");
  if ((header("x-amz-object-ownership") ?? ownership) !== ownership)
    throw new S3Error("NotImplemented", `x-amz-object-ownership is ${ownership}`);
  if (await store.buckets.has(bucket))
    throw new S3Error("BucketAlreadyOwnedByYou", "the bucket exists already", { BucketName: bucket });
  await store.buckets.make(bucket);
  return new Response(null, { status: 200, headers: { location: `/${bucket}` } });
}

/** Answers DELETE of a bucket. As with AWS its open uploads keep nobody from that, and end with it. */
export async function deleteBucket(store: Store, { bucket }: S3Request): Promise<Response> {
  await requireBucket(store, bucket);
  if (await hasObjects(store, bucket))
    throw new S3Error("BucketNotEmpty", "The bucket you tried to delete is not empty", { BucketName: bucket });
  await endUploads(store, prefixOf(bucket));
  await store.buckets.delete(bucket);
  return new Response(null, { status: 204 });
}

/**
 * Answers GET of all buckets, by pages in the order of their keys. One may end early, after many keys that are in no bucket.
 * The token of the next page is the key that it begins with.
 */
export async function listBuckets(store: Store, { query }: S3Request): Promise<Response> {
  const prefix = query("prefix") ?? "";
  const most = wholeNumber("max-buckets", query("max-buckets")) ?? Infinity;
  if (most === 0) throw badArgument("max-buckets", "0", "max-buckets is a whole number from 1");
  const first = Buffer.from(`/${prefix}`);
  const token = query("continuation-token");
  const start = token ? Buffer.from(token, "base64url") : first;
  const made = new Map(await Array.fromAsync(store.buckets.made()));
  const { names, next } = await namedByKeys(store, { start, end: prefixEnd(first) });
  const isHere = (key: Uint8Array) =>
    Buffer.compare(key, start) >= 0 && (next === undefined || Buffer.compare(key, next) < 0);
  const shown = [...made.keys()].filter((name) => name.startsWith(prefix) && isHere(prefixOf(name)));
  shown.push(...names.filter((name) => !made.has(name)));
  shown.sort((a, b) => Buffer.compare(prefixOf(a), prefixOf(b)));
  const after = shown[most] === undefined ? next : prefixOf(shown[most]);
  const page = shown.slice(0, most).sort();
  const nodes = page.map((name) =>
    nest("Bucket", node("Name", name), node("CreationDate", new Date(made.get(name) ?? 0).toISOString())),
  );
  const rest =
    node("ContinuationToken", after && Buffer.from(after).toString("base64url")) + node("Prefix", query("prefix"));
  return xmlAnswer("ListAllMyBucketsResult", nest("Owner", ownerNodes) + nest("Buckets", ...nodes) + rest);
}

async function hasObjects({ ledger }: Store, bucket: string): Promise<boolean> {
  const start = prefixOf(bucket);
  for await (const page of ledger.scan({ start, end: prefixEnd(start) }, { atOnce: 1 }))
    if (page.some(([, record]) => !isUnlinked(record))) return true;
  return false;
}

/**
 * The first segments of live keys, each by one seek; keys without a second segment are passed over, but not for ever: `next` is
 * what is left to begin with.
 */
async function namedByKeys({ ledger }: Store, { start, end }: KeyRange) {
  const names: string[] = [];
  let next = start;
  for (let steps = 0; next && steps < s3Limits.bucketSteps; steps++) {
    const from: Uint8Array = next;
    next = undefined;
    for await (const page of ledger.scan({ start: from, end }, { atOnce: 1 })) {
      const found = page.find(([, record]) => !isUnlinked(record));
      steps += page.length - 1;
      next = keyAfter(page.at(-1)![0]);
      if (!found && steps < s3Limits.bucketSteps) continue;
      if (!found) break;
      const slash = found[0].indexOf(0x2f, 1);
      next = slash > 1 ? prefixEnd(found[0].subarray(0, slash + 1)) : keyAfter(found[0]);
      const name = slash > 1 && !isReserved(found[0]) ? Buffer.from(found[0].subarray(1, slash)) : undefined;
      if (name && isUtf8(name)) names.push(name.toString("utf8"));
      break;
    }
  }
  return { names, next };
}
