// Owns objects: putting and reading one, deleting one or many.
import { MkvError, hasCode } from "../../errors";
import { type Key } from "../../format/key";
import { type Attributes } from "../../ledger/ledger";
import { s3Limits } from "../../s3-limits";
import { deleteKey } from "../../store/delete";
import { put } from "../../store/put";
import { type SeenValue, openValue, statValue } from "../../store/read";
import { retryBusy } from "../../ledger/retry-busy";
import { type Permit, type Store } from "../../store/store";
import { type Stored, type Transferred } from "../../store/transfer";
import { attributesOfFile } from "../../store/written";
import { inBatches } from "../../turns";
import { type ByteRange } from "../../volumes/read";
import { attributesIn, etagOf, headersOf, overrides, sumHeaders, sumNode, sumOf } from "./attributes";
import { missing, requireBucket } from "./buckets";
import { headerOf } from "./checksums";
import { isUnchanged, permitOf, permitOfTag, rangeOf } from "./conditions";
import { S3Error, badArgument, s3ErrorOf } from "./errors";
import { partOf, partRead, partsNode } from "./parts";
import { type Asked, type Payload, asDigest, comeIn } from "./payload";
import { notImplemented, requirePlain } from "./questions";
import { type Element, documentIn, readXml, textOf } from "./read-xml";
import { type S3Request, keyOf, prefixOf, requireOwnVersion } from "./request";
import { streamed } from "../stream";
import { nest, node, xmlAnswer } from "./xml";

/** An answer to a read, but for its bytes; `range` is undefined if it has none. */
type Head = { readonly status: number; readonly headers: Headers; readonly range: ByteRange | undefined };

/** Answers GET and HEAD of an object. */
export async function readObject(store: Store, asked: S3Request): Promise<Response> {
  const key = asked.key!;
  const how = { number: partRead(asked), instead: overrides(asked) };
  if (asked.request.method === "HEAD") {
    const seen = await statValue(store, key);
    if (!seen) throw await missing(store, asked);
    return new Response(null, headOf(asked, seen, how));
  }
  let head: Head | undefined;
  // What an answer cannot say is found out here: whatever is thrown later would leave the value open.
  const choose = (seen: SeenValue) => (head = headOf(asked, seen, how)).range;
  const isWhole =
    how.number === undefined && ![...asked.fields.keys()].some((name) => name === "range" || name.startsWith("if-"));
  const opened = await openValue(store, key, choose, { isWhole });
  if (!opened) throw await missing(store, asked);
  return new Response(opened.chunks ? streamed(opened.chunks) : null, head);
}

/**
 * @param how.number the part that is read, if one is
 * @param how.instead headers that are wanted in the place of its own
 * @throws S3Error PreconditionFailed, InvalidRange, InvalidPartNumber, NotImplemented
 */
function headOf(
  asked: S3Request,
  seen: SeenValue,
  { number, instead }: { number: number | undefined; instead: Record<string, string> },
): Head {
  const headers = new Headers({ ...headersOf(asked, seen), ...instead });
  if (isUnchanged(asked.header, seen)) return { status: 304, headers, range: undefined };
  const { range, isPart, count } = number === undefined ? rangeOf(asked, seen) : partOf(number, seen);
  if (count !== undefined) headers.set("x-amz-mp-parts-count", String(count));
  if (isPart) headers.set("content-range", `bytes ${range.from}-${range.from + range.bytes - 1}/${seen.bytes}`);
  // The sum of the object is that of the answer then.
  const isAll = !isPart || (range.bytes === seen.bytes && sumOf(seen)?.type === "FULL_OBJECT");
  if (isAll && asked.header("x-amz-checksum-mode")?.toUpperCase() === "ENABLED")
    for (const [name, sum] of Object.entries(sumHeaders(seen))) headers.set(name, sum);
  headers.set("content-length", String(range.bytes));
  return { status: isPart ? 206 : 200, headers, range };
}

/** Answers GET ?attributes: of an object, what x-amz-object-attributes names. */
export async function describeObject(store: Store, asked: S3Request): Promise<Response> {
  const seen = await statValue(store, asked.key!);
  if (!seen) throw await missing(store, asked);
  const sum = sumOf(seen);
  const nodes: Readonly<Record<string, string>> = {
    ETag: node("ETag", etagOf(seen)),
    // One that is made of the sums of parts is told without their number here.
    Checksum: sum ? nest("Checksum", sumNode(sum).replace(/-\d+</, "<"), node("ChecksumType", sum.type)) : "",
    ObjectParts: partsNode(asked, seen),
    StorageClass: node("StorageClass", "STANDARD"),
    ObjectSize: node("ObjectSize", seen.bytes),
  };
  const attributes = "x-amz-object-attributes";
  const named = asked.header(attributes) ?? "";
  const wanted = named.split(",").map((name) => name.trim());
  if (!wanted.every((name) => Object.hasOwn(nodes, name)))
    throw badArgument(attributes, named, `${attributes} are of ${Object.keys(nodes).join(", ")}`);
  const inner = Object.keys(nodes).map((name) => (wanted.includes(name) ? nodes[name] : ""));
  return xmlAnswer("GetObjectAttributesResponse", inner.join(""), { headers: { "last-modified": seen.modified } });
}

/** Answers PUT of an object. */
export async function putObject(store: Store, asked: Asked): Promise<Response> {
  const payload = asked.payload();
  requirePlain(asked);
  if (payload.bytes === undefined) throw new S3Error("MissingContentLength", "a PUT needs a Content-Length");
  if (payload.bytes > s3Limits.putBytes)
    throw new S3Error("EntityTooLarge", "an object that is put at once has at most 5 GiB");
  const permit = permitOf(asked);
  const attributes = attributesIn(asked);
  await requireBucket(store, asked.bucket);
  permit?.(await store.ledger.look(asked.key!)); // And again, when nobody else may change it.
  using body = await comeIn(payload);
  const { md5 } = await storeBody(store, asked.key!, body, { attributes, permit });
  return new Response(null, { headers: { etag: `"${md5}"`, ...sumHeaders({ attributes: sumAttribute(payload) }) } });
}

/** What goes with a body. */
type Storing = { readonly attributes: Attributes; readonly permit?: Permit | undefined };

/** Stores a body in the place of what is there. Throws what is wrong with it, and what `put` throws. */
export async function storeBody(
  store: Store,
  key: Key,
  payload: Payload,
  { attributes, permit }: Storing,
): Promise<Transferred> {
  const { chunks, bytes, md5, withdrawn } = payload;
  const all = (file: Stored) => ({ ...attributes, ...sumAttribute(payload), ...attributesOfFile(file) });
  const value = { chunks, bytes, md5, withdrawn, mayBeEmpty: true as const, attributes: all };
  try {
    // Of several at once each waits for the one before: the last one wins.
    return await retryBusy(() => put(store, key, value, { over: "anything", permit }), s3Limits.busyMs);
  } catch (error) {
    throw asDigest(error, payload);
  }
}

/** Answers DELETE of an object: that there is none is as good, unless one is asked for. */
export async function deleteObject(store: Store, asked: S3Request): Promise<Response> {
  if (asked.header("if-none-match") !== undefined) throw notImplemented("if-none-match of a DELETE");
  const permit = permitOf(asked);
  await requireBucket(store, asked.bucket);
  await removeLive(store, asked.key!, permit);
  return new Response(null, { status: 204 });
}

/** Answers POST ?delete: up to a thousand objects, each with an answer of its own. Throws S3Error MalformedXML, InvalidRequest. */
export async function deleteObjects(store: Store, asked: Asked): Promise<Response> {
  const payload = asked.payload();
  const root = readXml(await documentIn(payload), "Delete");
  if (payload.md5 === undefined && !payload.sum() && !payload.isSigned)
    throw new S3Error("InvalidRequest", "Missing required header: Content-MD5");
  await requireBucket(store, asked.bucket);
  const objects = root.children.filter(({ name }) => name === "Object");
  if (objects.length === 0 || objects.length > s3Limits.pageKeys)
    throw new S3Error("MalformedXML", `a Delete names 1 to ${s3Limits.pageKeys} objects`);
  const isQuiet = textOf(root, "Quiet")?.trim() === "true";
  const nodes = await inBatches(objects, s3Limits.deletesAtOnce, (object) => remove(store, asked, { object, isQuiet }));
  return xmlAnswer("DeleteResult", nodes.join(""));
}

async function remove(
  store: Store,
  { bucket }: S3Request,
  { object, isQuiet }: { object: Element; isQuiet: boolean },
): Promise<string> {
  const [name, version] = [textOf(object, "Key") ?? "", textOf(object, "VersionId")];
  const about = node("Key", name) + node("VersionId", version);
  try {
    if (name === "") throw new S3Error("MalformedXML", "an Object has a Key");
    for (const condition of ["LastModifiedTime", "Size"])
      if (textOf(object, condition) !== undefined) throw notImplemented(`${condition} of a DELETE`);
    requireOwnVersion(version);
    const etag = textOf(object, "ETag");
    await removeLive(store, keyOf(prefixOf(bucket, name)), etag === undefined ? undefined : permitOfTag(etag, name));
    return isQuiet ? "" : nest("Deleted", about);
  } catch (error) {
    const { s3, message } = s3ErrorOf(error);
    return nest("Error", about, node("Code", s3), node("Message", message));
  }
}

/** Deletes a live value; one that is unlinked is none of S3's. Throws what `deleteKey` and `permit` throw. */
async function removeLive(store: Store, key: Key, permit?: Permit): Promise<void> {
  const permitLive: Permit = (before) => {
    permit?.(before);
    if (before.record?.state !== "live") throw new MkvError("absent", "there is no such object");
  };
  try {
    await retryBusy(() => deleteKey(store, key, permitLive), s3Limits.busyMs);
  } catch (error) {
    if (!hasCode(error, "absent")) throw error;
  }
}

/** The sum of a body, as an attribute and as a header; none if it was not asked for. */
export function sumAttribute(payload: Payload): Record<string, string> {
  const sum = payload.sum();
  return sum ? { [headerOf(sum.algorithm)]: sum.sum } : {};
}
