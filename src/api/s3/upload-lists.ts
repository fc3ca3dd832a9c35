// Owns the lists of uploads in parts, and of the parts of one.
import { s3Limits } from "../../s3-limits";
import { type Store } from "../../store/store";
import { inBatches } from "../../turns";
import { type Part, type Upload, partsOf, uploadsPage } from "../../store/uploads";
import { bytesName } from "../../store/written";
import { sumNode, sumOf } from "./attributes";
import { requireBucket } from "./buckets";
import { encoderOf, headOf, maxOf, questionOf, seenOf } from "./list";
import { requireUpload } from "./multipart";
import { ownerNodes } from "./questions";
import { type S3Request, objectOf, prefixOf, wholeNumber } from "./request";
import { sumsTold } from "./upload-sums";
import { nest, node, xmlAnswer } from "./xml";

const owners = nest("Initiator", ownerNodes) + nest("Owner", ownerNodes) + node("StorageClass", "STANDARD");

const sumNodes = (upload: Upload) =>
  sumsTold(upload)
    .map(([name, value]) => node(`Checksum${name}`, value))
    .join("");

/** What a page begins after: an upload of this name, or all whose names begin like this. */
type Place = { readonly name: string; readonly id: string; readonly isPrefix: boolean };

/** Answers GET ?uploads. */
export async function listUploads(store: Store, asked: S3Request): Promise<Response> {
  const { bucket } = asked;
  await requireBucket(store, bucket);
  const question = questionOf(asked, "max-uploads");
  const { prefix, delimiter, most, encode } = question;
  const [keyMarker, idMarker] = [asked.query("key-marker") ?? "", asked.query("upload-id-marker") ?? ""];
  const nodes: string[] = [];
  const placeOf = (name: string, id: string): Place => {
    const cut = delimiter === "" ? -1 : name.indexOf(delimiter, prefix.length);
    return cut < 0
      ? { name, id, isPrefix: false }
      : { name: name.slice(0, cut + delimiter.length), id: "", isPrefix: true };
  };
  let last = placeOf(keyMarker, idMarker);
  let isTruncated = false;
  while (most > 0 && !isTruncated) {
    const end = Buffer.alloc(last.isPrefix ? 1 : 0, 0xff); // No name has this byte.
    const after = { key: Buffer.concat([prefixOf(bucket, last.name), end]), id: last.id };
    const page = await uploadsPage(store, prefixOf(bucket, prefix), { after, atMost: most - nodes.length + 1 });
    if (page.length === 0) break;
    for (const { key, id, startedMs, upload } of page) {
      isTruncated = nodes.length === most;
      if (isTruncated) break;
      last = placeOf(objectOf(key, bucket), id);
      if (last.isPrefix) {
        nodes.push(nest("CommonPrefixes", node("Prefix", encode(last.name))));
        break; // What begins alike is passed over.
      }
      const time = node("Initiated", new Date(startedMs).toISOString());
      nodes.push(nest("Upload", node("Key", encode(last.name)), node("UploadId", id), owners, time, sumNodes(upload)));
    }
  }
  const head = [
    node("Bucket", bucket),
    node("KeyMarker", encode(keyMarker)),
    node("UploadIdMarker", idMarker),
    node("NextKeyMarker", isTruncated ? encode(last.name) : undefined),
    node("NextUploadIdMarker", (isTruncated && last.id) || undefined),
    node("Prefix", encode(prefix)),
    node("MaxUploads", most),
    headOf(asked, question, isTruncated),
  ];
  return xmlAnswer("ListMultipartUploadsResult", [...head, ...nodes].join(""));
}

/** Answers GET ?uploadId. */
export async function listParts(store: Store, asked: S3Request): Promise<Response> {
  const [id, most] = [asked.query("uploadId")!, maxOf(asked, "max-parts")];
  const marker = wholeNumber("part-number-marker", asked.query("part-number-marker")) ?? 0;
  const upload = await requireUpload(store, asked);
  const parts: Part[] = [];
  let isTruncated = false;
  for await (const part of partsOf(store, id, marker)) {
    isTruncated = parts.length === most && most > 0;
    if (parts.length === most) break;
    parts.push(part);
  }
  const times = await inBatches(parts, s3Limits.statsAtOnce, ({ key }) => seenOf(store, key));
  const nodes = parts.map(({ number, md5, attributes }, i) =>
    nest(
      "Part",
      node("PartNumber", number),
      node("LastModified", new Date(times[i]?.modified ?? 0).toISOString()),
      node("ETag", `"${md5}"`),
      node("Size", attributes[bytesName]),
      sumNode(sumOf({ attributes })),
    ),
  );
  const head = [
    node("Bucket", asked.bucket),
    node("Key", encoderOf(asked)(objectOf(asked.key!, asked.bucket))),
    node("UploadId", id),
    owners,
    sumNodes(upload),
    node("PartNumberMarker", marker),
    node("NextPartNumberMarker", isTruncated ? parts.at(-1)?.number : undefined),
    node("MaxParts", most),
    node("IsTruncated", String(isTruncated)),
  ];
  return xmlAnswer("ListPartsResult", [...head, ...nodes].join(""));
}
