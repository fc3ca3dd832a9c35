// Owns the answers about what is not there: subresources that clients ask for by habit get the answer of a bucket, or an
// object, that has none of it; everything else is not implemented, and never taken for the bucket or the object itself. What is
// asked for and is so in any case (one owner, who may do everything; one storage class) is no reason to refuse.
import { isUtf8 } from "node:buffer";
import { S3Error, type S3Code } from "./errors";
import { type S3Request, isBare } from "./request";
import { nest, node, xmlAnswer } from "./xml";

/** Names in a query that are parameters of what the dialect does. */
const parameters = new Set([
  ...["list-type", "prefix", "delimiter", "marker", "max-keys", "encoding-type", "continuation-token"],
  ...["start-after", "fetch-owner", "key-marker", "version-id-marker", "upload-id-marker", "max-uploads", "max-parts"],
  ...["part-number-marker", "versionId", "Content-Type", "Content-MD5", "Content-Length"],
  ...["response-content-type", "response-content-language", "response-expires", "response-cache-control"],
  ...["response-content-disposition", "response-content-encoding"],
]);

/** Who owns everything. */
export const ownerNodes = node("ID", "mkv") + node("DisplayName", "mkv");

/** The owner may do everything, and there is nobody else. */
const grant = nest(
  "Grant",
  `<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">${ownerNodes}</Grantee>`,
  node("Permission", "FULL_CONTROL"),
);

/** What is answered about a subresource of a bucket: the failure that says that it has none, or a document. */
const subresources = new Map(
  Object.entries<S3Code | readonly [root: string, inner: string]>({
    policy: "NoSuchBucketPolicy",
    policyStatus: "NoSuchBucketPolicy",
    cors: "NoSuchCORSConfiguration",
    lifecycle: "NoSuchLifecycleConfiguration",
    tagging: "NoSuchTagSet",
    "object-lock": "ObjectLockConfigurationNotFoundError",
    encryption: "ServerSideEncryptionConfigurationNotFoundError",
    website: "NoSuchWebsiteConfiguration",
    replication: "ReplicationConfigurationNotFoundError",
    publicAccessBlock: "NoSuchPublicAccessBlockConfiguration",
    ownershipControls: "OwnershipControlsNotFoundError",
    acl: ["AccessControlPolicy", nest("Owner", ownerNodes) + nest("AccessControlList", grant)],
    versioning: ["VersioningConfiguration", ""],
    requestPayment: ["RequestPaymentConfiguration", node("Payer", "BucketOwner")],
    logging: ["BucketLoggingStatus", ""],
    notification: ["NotificationConfiguration", ""],
    accelerate: ["AccelerateConfiguration", ""],
  }),
);

/**
 * Whether a parameter says how something is done, or who asks and why, as x-id and x-purpose: any other one is a subresource.
 * What a read is told beyond that, with a value, is passed over, as AWS does.
 */
export function isParameter([name, value]: readonly [string, string], method: string): boolean {
  if (parameters.has(name) || /^x-/i.test(name)) return true;
  return (method === "GET" || method === "HEAD") && value !== "" && !subresources.has(name);
}

/** Answers a GET of a subresource of a bucket that is there. Throws S3Error NotImplemented, or that there is none. */
export function answerBucketQuestion(name: string, bucket?: string): Response {
  const answer = subresources.get(name);
  if (answer === undefined) throw notImplemented(name);
  if (typeof answer === "string")
    throw new S3Error(answer, `the bucket has no ${name} configuration`, { BucketName: bucket });
  return xmlAnswer(...answer);
}

/** The same of an object. */
export function answerObjectQuestion(name: string): Response {
  if (name === "acl") return answerBucketQuestion(name);
  if (name === "tagging") return xmlAnswer("Tagging", nest("TagSet"));
  const isLock = name === "retention" || name === "legal-hold";
  throw isLock ? new S3Error("InvalidRequest", "Bucket is missing Object Lock Configuration") : notImplemented(name);
}

/** Whether this removes what a bucket, or an object, has none of: that is done. */
export function isRemovalOfNothing({ request, key }: S3Request, name: string): boolean {
  if (request.method !== "DELETE") return false;
  return key ? name === "tagging" : typeof subresources.get(name) === "string";
}

/** What is said of a subresource that is not supported. */
export function notImplemented(name: string): S3Error {
  return new S3Error("NotImplemented", `${name} is not supported`);
}

/** What is so in any case. */
const plain: Readonly<Record<string, readonly string[]>> = {
  "x-amz-acl": ["private", "bucket-owner-read", "bucket-owner-full-control"],
  "x-amz-storage-class": ["STANDARD"],
  "x-amz-object-lock-legal-hold": ["OFF"],
  "x-amz-server-side-encryption-bucket-key-enabled": ["false"],
};
const refused =
  /^x-amz-(acl|storage-class|tagging$|grant-|server-side-encryption|object-lock-|website-redirect-location|write-offset)/;

/** Throws S3Error for what is asked of a new object, or bucket, that would not be done. */
export function requirePlain({ fields, key }: S3Request): void {
  if (key && !isUtf8(key)) throw new S3Error("InvalidURI", "the name of an object is UTF-8, percent-encoded");
  for (const [name, value] of fields) {
    if (!refused.test(name) || value === "" || plain[name]?.includes(value)) continue;
    if (name === "x-amz-storage-class")
      throw new S3Error("InvalidStorageClass", "the storage class is STANDARD", { StorageClassRequested: value });
    throw notImplemented(plain[name] ? `${name}: ${value}` : name);
  }
}

/** Whether this sets an access control list by its name, to what it is in any case. Throws S3Error as `requirePlain` does. */
export function isPrivate(asked: S3Request): boolean {
  if (asked.request.method !== "PUT" || !asked.header("x-amz-acl")) return false;
  requirePlain(asked);
  return isBare(asked);
}
