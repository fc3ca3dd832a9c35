// Owns uploads in parts: their beginning, their parts, their end.
import { MkvError, hasCode } from "../../errors";
import { type Key } from "../../format/key";
import { type Attributes } from "../../ledger/ledger";
import { s3Limits } from "../../s3-limits";
import { type SeenValue, lookAt, openValue } from "../../store/read";
import { type BadCopies, fromGoodCopies } from "../../store/recopy";
import { type Permit, type Store } from "../../store/store";
import {
  type Part,
  type Upload,
  beginUpload,
  endUpload,
  partKey,
  partsOf,
  removePart,
  uploadName,
  uploadOf,
} from "../../store/uploads";
import { bytesName, writtenFile } from "../../store/written";
import { attributesIn, sumNode, sumOf, tagName } from "./attributes";
import { requireBucket } from "./buckets";
import { type Algorithm, algorithmOf, headerOf } from "./checksums";
import { permitOf } from "./conditions";
import { copyFrom, sourceOf, sourceRange, whole } from "./copy";
import { S3Error } from "./errors";
import { type Document } from "./keep-alive";
import { storeBody, sumAttribute } from "./objects";
import { partNumberOf, partsAttribute } from "./parts";
import { type Asked, type Payload, comeIn, payloadFrom } from "./payload";
import { requirePlain } from "./questions";
import { documentIn, readXml, textOf } from "./read-xml";
import { type S3Request, isTag, objectOf } from "./request";
import { compositeOf, summingOf, sumsAsked, sumsTold } from "./upload-sums";
import { node, xmlAnswer } from "./xml";

/** Answers POST ?uploads. */
export async function createUpload(store: Store, asked: S3Request): Promise<Response> {
  requirePlain(asked);
  await requireBucket(store, asked.bucket);
  const sums = sumsAsked(asked);
  const id = await beginUpload(store, asked.key!, { attributes: attributesIn(asked), ...sums });
  const nodes = [node("Bucket", asked.bucket), node("Key", objectOf(asked.key!, asked.bucket)), node("UploadId", id)];
  const headers = sumsTold(sums).map(([name, value]) => [`x-amz-checksum-${name.toLowerCase()}`, value]);
  return xmlAnswer("InitiateMultipartUploadResult", nodes.join(""), { headers: Object.fromEntries(headers) });
}

/** Answers PUT of a part. */
export async function uploadPart(store: Store, asked: Asked): Promise<Response> {
  const { sums } = await requireUpload(store, asked);
  const payload = asked.payload(sums as Algorithm | undefined);
  if (payload.bytes === undefined) throw new S3Error("MissingContentLength", "a part needs a Content-Length");
  if (payload.bytes > s3Limits.putBytes) throw new S3Error("EntityTooLarge", "a part has at most 5 GiB");
  using body = await comeIn(payload);
  const { md5 } = await storePart(store, asked, body);
  return new Response(null, { headers: { etag: `"${md5}"`, ...sumAttribute(payload) } });
}

/** Copies a part of an object into an upload. */
export async function copyPart(store: Store, asked: S3Request): Promise<Document> {
  const { sums } = await requireUpload(store, asked);
  const rangeOf = (seen: SeenValue) => sourceRange(asked, seen);
  const sumBy = () => sums as Algorithm | undefined;
  const how = { source: sourceOf(asked), rangeOf, sumBy, root: "CopyPartResult" };
  return await copyFrom(store, asked, how, (payload) => storePart(store, asked, payload));
}

async function storePart(store: Store, asked: S3Request, payload: Payload) {
  const number = partNumberOf(asked);
  const [key, id] = [asked.key!, asked.query("uploadId")!];
  const place = partKey(id, number);
  const parts = { ...store, protect: false }; // A part that is sent again takes the place of the first.
  const stored = await storeBody(parts, place, payload, { attributes: {} });
  if (await uploadOf(store, key, id)) return stored;
  await removePart(store, place);
  throw noSuchUpload(id);
}

/** Answers DELETE of an upload; of one that is complete nothing is left to be removed. */
export async function abortUpload(store: Store, asked: S3Request): Promise<Response> {
  const [key, id] = [asked.key!, asked.query("uploadId")!];
  if (!(await attributesBy(store, key, id))) await requireUpload(store, asked);
  const { gone } = await endUpload(store, key, id);
  await gone.catch(unlessExpected);
  return new Response(null, { status: 204 });
}

/** Makes the object of its parts. A refusal leaves the upload as it was; a repeated request is answered as the first. */
export async function completeUpload(store: Store, asked: Asked): Promise<Document> {
  const [key, id] = [asked.key!, asked.query("uploadId")!];
  const named = partsIn(await documentIn(asked.payload()), id);
  const attributes =
    (await attributesBy(store, key, id)) ??
    (await join(store, asked, named).catch(async (error: unknown) => {
      const byAnother = await attributesBy(store, key, id); // The same request, which was faster.
      if (!byAnother) throw error;
      return byAnother;
    }));
  // It is acknowledged, whatever becomes of the rest: what is not ended now the sweep ends.
  const isOpen = uploadOf(store, key, id);
  const ended = await isOpen.then((upload) => upload && endUpload(store, key, id)).catch(unlessExpected);
  const sum = sumOf({ attributes });
  const scheme = asked.header("x-forwarded-proto")?.startsWith("https") ? "https" : "http"; // Some store the Location.
  const place = [node("Location", `${scheme}://${asked.header("host")}${asked.path}`), node("Bucket", asked.bucket)];
  const nodes = [...place, node("Key", objectOf(key, asked.bucket)), node("ETag", `"${attributes[tagName]}"`)];
  nodes.push(sumNode(sum), node("ChecksumType", sum?.type));
  return { root: "CompleteMultipartUploadResult", inner: nodes.join(""), rest: ended?.gone };
}

/** Stores the object; returns its attributes. */
async function join(store: Store, asked: S3Request, named: readonly NamedPart[]): Promise<Attributes> {
  const id = asked.query("uploadId")!;
  const upload = await requireUpload(store, asked);
  const parts = await partsToJoin(store, id, { named, upload });
  const permitTag = permitOf(asked);
  const permit: Permit = (before) => {
    if (before.attributes?.[uploadName] === id) throw noSuchUpload(id); // Another request was faster.
    permitTag?.(before);
  };
  const sums = Buffer.concat(parts.map(({ md5 }) => Buffer.from(md5, "hex")));
  const etag = `${new Bun.CryptoHasher("md5").update(sums).digest("hex")}-${parts.length}`;
  const composite = await compositeOf(upload, parts);
  const summing = summingOf(asked, { upload, composite });
  const lengths = parts.map(({ attributes }) => Number(attributes[bytesName]));
  const ofUpload = { [tagName]: etag, [uploadName]: id, ...partsAttribute(lengths) };
  const attributes = { ...upload.attributes, ...composite, ...ofUpload };
  const bytes = lengths.reduce((sum, length) => sum + length, 0);
  const bytesMeant = asked.header("x-amz-mp-object-size");
  if (bytesMeant !== undefined && bytesMeant !== String(bytes))
    throw new S3Error("InvalidRequest", `the parts have ${bytes} bytes, not the ${bytesMeant} of x-amz-mp-object-size`);
  return await fromGoodCopies(async (bad) => {
    const body = payloadFrom(joined(store, asked, { parts, bad }), bytes, summing);
    const sum = sumOf({ attributes: composite }) ? () => undefined : body.sum; // It has one already.
    await storeBody(store, asked.key!, { ...body, sum }, { attributes, permit });
    return { ...attributes, ...sumAttribute({ ...body, sum }) };
  });
}

/** The bytes of these parts, which come to their end only if the upload is not over. */
async function* joined(
  store: Store,
  asked: S3Request,
  { parts, bad }: { parts: readonly Part[]; bad: BadCopies },
): AsyncGenerator<Uint8Array> {
  for (const { key, md5 } of parts) {
    const replaced = () => new S3Error("InvalidPart", "a part was replaced while the upload was completed");
    const wholeOfPart = (seen: SeenValue) => {
      if (seen.record.md5 !== md5) throw replaced();
      return whole(seen);
    };
    const opened = await openValue(store, key, wholeOfPart, { bad }).catch(unlessBusy);
    if (!opened) throw replaced();
    if (opened.chunks) yield* opened.chunks;
  }
  await requireUpload(store, asked);
}

type NamedPart = { readonly number: number; readonly etag: string; readonly sums: ReadonlyMap<Algorithm, string> };

function partsIn(bytes: Uint8Array, id: string): NamedPart[] {
  if (bytes.length === 0) throw new S3Error("InvalidRequest", "You must specify at least one part");
  const { children } = readXml(bytes, "CompleteMultipartUpload");
  const named = children.map((part): NamedPart => {
    const [number, etag] = [Number(textOf(part, "PartNumber")), textOf(part, "ETag")];
    if (part.name !== "Part" || !Number.isInteger(number) || etag === undefined)
      throw new S3Error("MalformedXML", "a Part has a PartNumber and an ETag");
    const sums = part.children.flatMap(({ name, text }): [Algorithm, string][] => {
      const algorithm = algorithmOf(`x-amz-checksum-${name.replace(/^Checksum/, "")}`);
      return algorithm ? [[algorithm, text.trim()]] : [];
    });
    return { number, etag, sums: new Map(sums) };
  });
  if (named.length === 0 || named.length > s3Limits.parts)
    throw new S3Error("MalformedXML", "no parts are named, or too many");
  if (named.some(({ number }, i) => i > 0 && number <= named[i - 1]!.number))
    throw new S3Error("InvalidPartOrder", "The list of parts was not in ascending order", { UploadId: id });
  return named;
}

/** The parts that are named, as they were stored. Throws S3Error InvalidPart, EntityTooSmall. */
async function partsToJoin(
  store: Store,
  id: string,
  { named, upload }: { named: readonly NamedPart[]; upload: Upload },
): Promise<Part[]> {
  const stored = new Map<number, Part>();
  for await (const part of partsOf(store, id)) stored.set(part.number, part);
  const algorithm = upload.isWhole ? undefined : (upload.sums as Algorithm | undefined);
  return named.map(({ number, etag, sums }, i) => {
    const part = stored.get(number);
    const isSum = ([name, sum]: [Algorithm, string]) => part?.attributes[headerOf(name)] === sum;
    const isKnown = part && writtenFile(part.attributes) !== undefined; // What lies beside the records may have been lost.
    const about = { PartNumber: number, ETag: etag.replaceAll('"', ""), UploadId: id };
    const isSame = isKnown && isTag(etag, part.md5) && [...sums].every(isSum);
    if (!isSame)
      throw new S3Error("InvalidPart", `part ${number} was not uploaded, or has another ETag or checksum`, about);
    if (algorithm && (!sums.has(algorithm) || part.attributes[headerOf(algorithm)] === undefined))
      throw new S3Error(
        "InvalidRequest",
        `The upload was created using a ${algorithm} checksum, which part ${number} lacks`,
      );
    const sizes = { ProposedSize: Number(part.attributes[bytesName]), MinSizeAllowed: s3Limits.leastPartBytes };
    if (i < named.length - 1 && sizes.ProposedSize < sizes.MinSizeAllowed)
      throw new S3Error("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size", {
        ...about,
        ...sizes,
      });
    return part;
  });
}

/** The attributes of the object, if it came by this upload. */
async function attributesBy(store: Store, key: Key, id: string): Promise<Attributes | undefined> {
  const value = await lookAt(store, key);
  return value?.attributes?.[uploadName] === id ? value.attributes : undefined;
}

/** The upload that is named. Throws S3Error NoSuchUpload, NoSuchBucket. */
export async function requireUpload(store: Store, asked: S3Request): Promise<Upload> {
  const id = asked.query("uploadId") ?? "";
  const upload = await uploadOf(store, asked.key!, id);
  if (upload) return upload;
  await requireBucket(store, asked.bucket);
  throw noSuchUpload(id);
}

/** Whoever stores a body and finds its key busy tries again, but not with what is left of the body. */
function unlessBusy(error: unknown): never {
  throw hasCode(error, "busy") ? new MkvError("unavailable", error.message, { cause: error }) : error;
}

function unlessExpected(error: unknown): undefined {
  if (!(error instanceof MkvError)) throw error;
}

function noSuchUpload(UploadId: string): S3Error {
  const message = "The specified upload does not exist. It may have been aborted or completed.";
  return new S3Error("NoSuchUpload", message, { UploadId });
}
