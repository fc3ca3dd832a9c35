// Owns POST ?delete: up to a thousand objects at once, each with an answer of its own.
import { s3Limits } from "../../s3-limits";
import { type Store } from "../../store/store";
import { inBatches } from "../../turns";
import { requireBucket } from "./buckets";
import { permitOfTag } from "./conditions";
import { S3Error, s3ErrorOf } from "./errors";
import { removeLive } from "./objects";
import { type Asked } from "./payload";
import { notImplemented } from "./questions";
import { type Element, documentIn, readXml, textOf } from "./read-xml";
import { type S3Request, keyOf, prefixOf, requireOwnVersion } from "./request";
import { nest, node, xmlAnswer } from "./xml";

const atOnce = 32;

/** Answers it. Throws S3Error MalformedXML, InvalidRequest. */
export async function deleteObjects(store: Store, asked: Asked): Promise<Response> {
  const payload = asked.payload();
  const root = readXml(await documentIn(payload), "Delete");
  if (payload.md5 === undefined && !payload.sum())
    throw new S3Error("InvalidRequest", "Missing required header: Content-MD5");
  await requireBucket(store, asked.bucket);
  const objects = root.children.filter(({ name }) => name === "Object");
  if (objects.length === 0 || objects.length > s3Limits.pageKeys)
    throw new S3Error("MalformedXML", `a Delete names 1 to ${s3Limits.pageKeys} objects`);
  const isQuiet = textOf(root, "Quiet")?.trim() === "true";
  const nodes = await inBatches(objects, atOnce, (object) => remove(store, asked, { object, isQuiet }));
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
    await removeLive(store, keyOf(prefixOf(bucket, name)), etag === undefined ? undefined : permitOfTag(etag));
    return isQuiet ? "" : nest("Deleted", about);
  } catch (error) {
    const { s3, message } = s3ErrorOf(error);
    return nest("Error", about, node("Code", s3), node("Message", message));
  }
}
