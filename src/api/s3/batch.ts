// Owns POST ?delete: up to a thousand objects at once, each with an answer of its own.
import { s3Limits } from "../../s3-limits";
import { type Store } from "../../store/store";
import { inBatches } from "../../turns";
import { requireBucket } from "./buckets";
import { S3Error, s3ErrorOf } from "./errors";
import { removeLive } from "./objects";
import { type Asked } from "./payload";
import { type Element, documentIn, readXml, textOf } from "./read-xml";
import { type S3Request, keyOf, prefixOf, requireOwnVersion } from "./request";
import { nest, node, xmlAnswer } from "./xml";

const atOnce = 32;
const conditions = ["ETag", "LastModifiedTime", "Size"];

/** Answers it. Throws S3Error MalformedXML, InvalidRequest. */
export async function deleteObjects(store: Store, asked: Asked): Promise<Response> {
  const payload = asked.payload();
  const root = readXml(await documentIn(payload.chunks), "Delete");
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
    if (conditions.some((condition) => textOf(object, condition) !== undefined))
      throw new S3Error("NotImplemented", "a DELETE takes no conditions");
    requireOwnVersion(version);
    await removeLive(store, keyOf(prefixOf(bucket, name)));
    return isQuiet ? "" : nest("Deleted", about);
  } catch (error) {
    const { s3, message } = s3ErrorOf(error);
    return nest("Error", about, node("Code", s3), node("Message", message));
  }
}
