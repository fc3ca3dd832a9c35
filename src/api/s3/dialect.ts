// Owns the S3 dialect: a function from Request to Response. Nothing is done, or told, before the signature has been seen to
// fit; what is asked for and would not be done is refused.
import { type About, type Operation, operationOfMethod } from "../requests";
import { splitUrl } from "../url";
import { isReserved } from "../../store/uploads";
import { type Store } from "../../store/store";
import { statValue } from "../../store/read";
import { createBucket, deleteBucket, headBucket, listBuckets, locateBucket, missing, requireBucket } from "./buckets";
import { copyObject } from "./copy";
import { S3Error, failed } from "./errors";
import { type Document, keptAlive } from "./keep-alive";
import { listObjects } from "./list";
import { abortUpload, completeUpload, copyPart, createUpload, uploadPart } from "./multipart";
import { deleteObject, deleteObjects, describeObject, putObject, readObject } from "./objects";
import { type Asked, payloadOf } from "./payload";
import {
  answerBucketQuestion,
  answerObjectQuestion,
  isParameter,
  isPrivate,
  isRemovalOfNothing,
  notImplemented,
} from "./questions";
import { type Incoming, readRequest, requireOwnVersion } from "./request";
import { type Keys, verify } from "./signature";
import { listParts, listUploads } from "./upload-lists";

/** What the dialect needs. */
export type S3 = {
  readonly store: Store;
  readonly keys: Keys;
  /** Longest silence of a client in the middle of a body. */
  readonly clienttimeoutMs: number;
};

/** A request, and what the log is to be told of it. */
type FromSocket = {
  readonly request: Incoming;
  readonly told: About | undefined;
  /** Is told of work that may go on when the answer has begun. */
  readonly goesOn: (work: Promise<unknown>) => void;
};

/** A request whose sender is known. */
type Known = Asked & { readonly about: ReturnType<typeof aboutOf>; readonly goesOn: FromSocket["goesOn"] };

type Handler = (store: Store, asked: Known) => Response | Promise<Response>;

/** What answers a method, on a bucket or an object, with the parameter that makes another operation of it. */
const routes: Readonly<Record<string, Handler>> = {
  "GET bucket": listObjects,
  "GET bucket versions": listObjects,
  "GET bucket location": locateBucket,
  "GET bucket uploads": listUploads,
  "HEAD bucket": headBucket,
  "PUT bucket": createBucket,
  "DELETE bucket": deleteBucket,
  "POST bucket delete": deleteObjects,
  "GET object": readObject,
  "GET object attributes": describeObject,
  "GET object partNumber": readObject,
  "GET object uploadId": listParts,
  "HEAD object": readObject,
  "HEAD object partNumber": readObject,
  "PUT object": (store, asked) => (isCopy(asked) ? later(copyObject(store, asked), asked) : putObject(store, asked)),
  "PUT object partNumber": () => {
    throw new S3Error("InvalidRequest", "a part has an uploadId");
  },
  "PUT object uploadId": (store, asked) =>
    isCopy(asked) ? later(copyPart(store, asked), asked) : uploadPart(store, asked),
  "POST object uploads": createUpload,
  "POST object uploadId": (store, asked) => later(completeUpload(store, asked), asked),
  "DELETE object": deleteObject,
  "DELETE object uploadId": abortUpload,
};

/** The parameters that make another operation of a request: of several the first one counts. */
const operations = ["location", "uploads", "uploadId", "partNumber", "delete", "versions", "attributes"];

const isCopy = ({ header }: Asked) => header("x-amz-copy-source") !== undefined;

function later(work: Promise<Document>, { goesOn, about }: Known): Promise<Response> {
  goesOn(work.then(({ rest }) => rest));
  return keptAlive(work, about);
}

/** Answers a request; never throws. */
export async function answer(s3: S3, { request, told, goesOn }: FromSocket): Promise<Response> {
  const about = aboutOf(request);
  let response: Response;
  try {
    const asked = readRequest(request);
    refuseBrowsers(request);
    const signed = verify(asked, s3.keys);
    if (told) told.user = signed.accessKey;
    const { clienttimeoutMs } = s3;
    const payload: Asked["payload"] = (algorithm) =>
      payloadOf(asked, signed, { clienttimeoutMs, about: told, algorithm });
    response = await dispatch(s3.store, { ...asked, payload, about, goesOn });
  } catch (error) {
    response = failed(error, about);
  }
  response.headers.set("x-amz-request-id", about.id);
  if (about.isHead) response.headers.set("x-amz-bucket-region", "us-east-1"); // Some ask for it without a signature.
  return response;
}

/** Throws S3Error for what a browser sends by itself, with another signature or none. */
function refuseBrowsers({ method, headers }: Incoming): void {
  if (method === "OPTIONS")
    throw new S3Error("AccessDenied", "CORS is not supported: a proxy before this port may answer for it");
  if (method === "POST" && /^multipart\/form-data/i.test(headers.get("content-type") ?? ""))
    throw new S3Error("NotImplemented", "forms of browsers are not supported: use a presigned PUT");
}

/** What a failure of a request tells of it. */
export function aboutOf({ url, method }: Incoming): { resource: string; id: string; isHead: boolean } {
  const id = crypto.getRandomValues(new Uint8Array(8)).toHex().toUpperCase();
  return { resource: splitUrl(url).path, id, isHead: method === "HEAD" };
}

/** What a request is about, for those who count. */
export function operationOf({ url, method }: Incoming): Operation {
  const isObject = /^\/[^/]+\/./.test(splitUrl(url).path);
  if (method === "GET" && !isObject) return "list";
  return method === "POST" ? "other" : operationOfMethod(method);
}

/** What would change an answer, if it were heeded. */
const refusedHeaders = [
  "x-amz-server-side-encryption-customer-algorithm",
  "x-amz-copy-source-server-side-encryption-customer-algorithm",
  "x-amz-mfa",
  "x-amz-if-match-size",
  "x-amz-if-match-last-modified-time",
  "x-amz-if-match-initiated-time",
  "x-minio-force-delete",
];

/** Whether a request writes a value: it needs as much as a PUT does. */
export function isWrite({ url, method }: Incoming): boolean {
  return method === "PUT" || (method === "POST" && /(^|&)uploadId=/.test(splitUrl(url).query));
}

async function dispatch(store: Store, asked: Known): Promise<Response> {
  const { bucket, key, request } = asked;
  const { method } = request;
  for (const name of refusedHeaders) if (asked.header(name) !== undefined) throw notImplemented(name);
  if (bucket === "") {
    if (method === "GET" && /^\/+$/.test(asked.path)) return await listBuckets(store, asked);
    throw new S3Error("MethodNotAllowed", "without a bucket, the list of buckets can be read", {}, { allow: "GET" });
  }
  if (isReserved(Buffer.from(`/${bucket}/`))) throw new S3Error("AccessDenied", "what this names is not for clients");
  requireOwnVersion(asked.query("versionId"));
  const place = key === undefined ? "bucket" : "object";
  const routeOf = (name: string) => routes[`${method} ${place} ${name}`];
  const other = asked.parameters.find((pair) =>
    operations.includes(pair[0]) ? !routeOf(pair[0]) : !isParameter(pair, method),
  );
  if (other) return await answerQuestion(store, asked, other[0]);
  const operation = operations.find((name) => asked.query(name) !== undefined);
  const route = operation === undefined ? routes[`${method} ${place}`] : routeOf(operation);
  if (route) return await route(store, asked);
  if (method === "POST") throw notImplemented(`POST of ${key ? "an object" : "a bucket"}`);
  throw new S3Error("MethodNotAllowed", `${method} is not a method for ${key ? "an object" : "a bucket"}`);
}

/** Answers about a subresource that is not there, or a parameter that is of another method. */
async function answerQuestion(store: Store, asked: Known, name: string): Promise<Response> {
  const isWish = (name === "acl" && isPrivate(asked)) || isRemovalOfNothing(asked, name);
  if (asked.request.method !== "GET" && !isWish) throw notImplemented(name);
  if (asked.key === undefined) await requireBucket(store, asked.bucket);
  else if (!(await statValue(store, asked.key))) throw await missing(store, asked);
  if (isWish) return new Response(null, { status: asked.request.method === "DELETE" ? 204 : 200 });
  return asked.key === undefined ? answerBucketQuestion(name, asked.bucket) : answerObjectQuestion(name);
}
