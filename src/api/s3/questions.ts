// Owns the answers about what is not there: subresources that clients ask for by habit get the answer of a bucket, or an
// object, that has none of it; everything else is not implemented, and never taken for the bucket or the object itself.
import { S3Error, type S3Code } from "./errors";
import { type S3Request } from "./request";
import { nest, node, xmlAnswer } from "./xml";

/** Names in a query that are parameters of what the dialect does. */
const parameters = new Set([
  ...["x-id", "list-type", "prefix", "delimiter", "marker", "max-keys", "encoding-type", "continuation-token"],
  ...["start-after", "fetch-owner", "key-marker", "version-id-marker", "upload-id-marker", "max-uploads", "max-parts"],
  ...["part-number-marker", "versionId"],
  ...["response-content-type", "response-content-language", "response-expires", "response-cache-control"],
  ...["response-content-disposition", "response-content-encoding"],
]);

const absent: Readonly<Record<string, S3Code>> = {
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
};

const answers: Readonly<Record<string, readonly [root: string, inner: string]>> = {
  versioning: ["VersioningConfiguration", ""],
  requestPayment: ["RequestPaymentConfiguration", node("Payer", "BucketOwner")],
  logging: ["BucketLoggingStatus", ""],
  notification: ["NotificationConfiguration", ""],
  accelerate: ["AccelerateConfiguration", ""],
};

/** Whether a parameter says how something is done, or who asks: any other one is a subresource. */
export function isParameter(name: string): boolean {
  return parameters.has(name) || /^x-amz-/i.test(name);
}

/** Answers a GET of a subresource of a bucket that is there. Throws S3Error NotImplemented, or that there is none. */
export function answerBucketQuestion(name: string): Response {
  const answer = answers[name];
  if (answer) return xmlAnswer(...answer);
  const code = absent[name];
  throw code ? new S3Error(code, `the bucket has no ${name} configuration`) : notImplemented(name);
}

/** The same of an object. */
export function answerObjectQuestion(name: string): Response {
  if (name === "tagging") return xmlAnswer("Tagging", nest("TagSet"));
  const isLock = name === "retention" || name === "legal-hold";
  throw isLock ? new S3Error("NoSuchObjectLockConfiguration", "the object has no lock") : notImplemented(name);
}

/** What is said of a subresource that is not supported. */
export function notImplemented(name: string): S3Error {
  return new S3Error("NotImplemented", `${name} is not supported`);
}

const plain: Readonly<Record<string, string>> = { "x-amz-acl": "private", "x-amz-storage-class": "STANDARD" };
const refused =
  /^x-amz-(acl|storage-class|tagging|grant-|server-side-encryption|object-lock-|website-redirect-location|write-offset)/;

/** Throws S3Error for what is asked of a new object, or bucket, that would not be done. */
export function requirePlain({ fields }: S3Request): void {
  for (const [name, value] of fields) {
    if (!refused.test(name) || plain[name] === value) continue;
    if (name === "x-amz-storage-class") throw new S3Error("InvalidStorageClass", "the storage class is STANDARD");
    throw notImplemented(name);
  }
}
