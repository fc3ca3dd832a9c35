// Owns the failures as S3 tells them: its codes with their statuses, and what each failure of the store is called there.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
import { MkvError, type ErrorCode, reasonOf } from "../../errors";
import { limits } from "../../limits";
import { logBug } from "../../log";
import { node, xmlAnswer } from "./xml";

const statusOf = {
  AccessDenied: 403,
  AuthorizationHeaderMalformed: 400,
  AuthorizationQueryParametersError: 400,
  BadDigest: 400,
  BucketAlreadyOwnedByYou: 409,
  BucketNotEmpty: 409,
  EntityTooLarge: 400,
  EntityTooSmall: 400,
  IncompleteBody: 400,
  InternalError: 500,
  InvalidAccessKeyId: 403,
  InvalidArgument: 400,
  InvalidBucketName: 400,
  InvalidDigest: 400,
  InvalidPart: 400,
  InvalidPartNumber: 416,
  InvalidPartOrder: 400,
  InvalidRange: 416,
  InvalidRequest: 400,
  InvalidStorageClass: 400,
  InvalidURI: 400,
  KeyTooLongError: 400,
  MalformedXML: 400,
  MetadataTooLarge: 400,
  MethodNotAllowed: 405,
  MissingContentLength: 411,
  NoSuchBucket: 404,
  NoSuchBucketPolicy: 404,
  NoSuchCORSConfiguration: 404,
  NoSuchKey: 404,
  NoSuchLifecycleConfiguration: 404,
  NoSuchPublicAccessBlockConfiguration: 404,
  NoSuchTagSet: 404,
  NoSuchUpload: 404,
  NoSuchVersion: 404,
  NoSuchWebsiteConfiguration: 404,
  NotImplemented: 501,
  ObjectLockConfigurationNotFoundError: 404,
  OwnershipControlsNotFoundError: 404,
  PreconditionFailed: 412,
  ReplicationConfigurationNotFoundError: 404,
  RequestTimeTooSkewed: 403,
  RequestTimeout: 400,
  ServerSideEncryptionConfigurationNotFoundError: 404,
  ServiceUnavailable: 503,
  SignatureDoesNotMatch: 403,
  SlowDown: 503,
  XAmzContentSHA256Mismatch: 400,
} as const;

export type S3Code = keyof typeof statusOf;

/** A failure with its name in S3; `fields` are further elements of its answer, `headers` further headers. */
export class S3Error extends MkvError {
  constructor(
    readonly s3: S3Code,
    message: string,
    readonly fields: Readonly<Record<string, string | number | undefined>> = {},
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super("bad-request", message);
  }
}

/** A parameter, or header, that says what it cannot. */
export function badArgument(name: string, value: string | undefined, message: string): S3Error {
  return new S3Error("InvalidArgument", message, { ArgumentName: name, ArgumentValue: value });
}

const codeOf: Record<ErrorCode, S3Code> = {
  "bad-request": "InvalidArgument",
  unauthorized: "AccessDenied",
  forbidden: "AccessDenied",
  absent: "NoSuchKey",
  method: "MethodNotAllowed",
  busy: "SlowDown",
  gone: "InternalError",
  empty: "InvalidRequest",
  "too-many": "InvalidArgument",
  "too-much-owed": "SlowDown",
  "key-too-long": "KeyTooLongError",
  "client-gone": "IncompleteBody",
  "client-slow": "RequestTimeout",
  conflict: "InvalidRequest",
  corrupt: "InternalError",
  crowded: "SlowDown",
  failed: "InternalError",
  "volume-failed": "ServiceUnavailable",
  unavailable: "ServiceUnavailable",
  away: "ServiceUnavailable",
  timeout: "ServiceUnavailable",
  unsupported: "NotImplemented",
  usage: "InternalError",
};

/** Any failure, as S3 tells it. A bug is logged. */
export function s3ErrorOf(error: unknown): S3Error {
  if (error instanceof S3Error) return error;
  if (error instanceof MkvError) return new S3Error(codeOf[error.code], reasonOf(error));
  logBug(error);
  return new S3Error("InternalError", "a bug: see the log of the master");
}

/** The elements of a failure. */
export function errorNodes(error: S3Error, { resource, id }: { resource: string; id: string }): string {
  const all = { Code: error.s3, Message: error.message, ...error.fields, Resource: resource, RequestId: id };
  return Object.entries(all)
    .map(([name, value]) => node(name, value))
    .join("");
}

/** The answer to a request that failed; one to a HEAD has no body. */
export function failed(thrown: unknown, about: { resource: string; id: string; isHead: boolean }): Response {
  const error = s3ErrorOf(thrown);
  const status = statusOf[error.s3];
  const headers: Record<string, string> = { ...error.headers };
  if (status === 503) headers["retry-after"] = String(limits.settleMs / 1000);
  if (about.isHead) return new Response(null, { status, headers });
  return xmlAnswer("Error", errorNodes(error, about), { status, headers });
}
