// Owns the S3 dialect: a function from Request to Response. Nothing is done, or told, before the signature has been seen to
// fit; what is asked for and would not be done is refused.
import { type About } from "../access";
import { type Operation } from "../requests";
import { splitUrl } from "../url";
import { isReserved } from "../../store/uploads";
import { type Store } from "../../store/store";
import { statValue } from "../../store/read";
import { deleteObjects } from "./batch";
import { createBucket, deleteBucket, listBuckets, requireBucket } from "./buckets";
import { copyObject } from "./copy";
import { S3Error, failed } from "./errors";
import { type Document, keptAlive } from "./keep-alive";
import { type Keys } from "./keys";
import { listObjects } from "./list";
import { abortUpload, completeUpload, copyPart, createUpload, uploadPart } from "./multipart";
import { deleteObject, putObject, readObject } from "./objects";
import { type Payload, payloadOf } from "./payload";
import { answerBucketQuestion, answerObjectQuestion, notImplemented, subresourceOf } from "./questions";
import { documentIn, readXml } from "./read-xml";
import { type Incoming, type S3Request, readRequest } from "./request";
import { type Signed, verify } from "./signature";
import { listParts, listUploads } from "./upload-lists";
import { xmlAnswer } from "./xml";

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

/** A request whose sender is known, with its body still to come. */
type Asked = S3Request & {
  readonly payload: () => Payload;
  readonly about: { resource: string; id: string };
  readonly goesOn: FromSocket["goesOn"];
};

/** Answers a request; never throws. */
export async function answer(s3: S3, { request, told, goesOn }: FromSocket): Promise<Response> {
  const about = aboutOf(request);
  let response: Response;
  try {
    const asked = readRequest(request);
    const signed: Signed = verify(asked, s3.keys);
    if (told) told.user = signed.accessKey;
    const payload = () => payloadOf(asked, signed, { clienttimeoutMs: s3.clienttimeoutMs, told });
    response = await dispatch(s3.store, { ...asked, payload, about, goesOn });
  } catch (error) {
    response = failed(error, about);
  }
  response.headers.set("x-amz-request-id", about.id);
  return response;
}

/** What a failure of a request tells of it. */
export function aboutOf({ url, method }: Incoming): { resource: string; id: string; isHead: boolean } {
  const id = Buffer.from(crypto.getRandomValues(new Uint8Array(8)))
    .toString("hex")
    .toUpperCase();
  return { resource: splitUrl(url).path, id, isHead: method === "HEAD" };
}

/** What a request is about, for those who count. */
export function operationOf({ url, method }: Incoming): Operation {
  const { path } = splitUrl(url);
  const isObject = /^\/[^/]+\/./.test(path);
  if (method === "GET" && !isObject) return "list";
  const names: Readonly<Record<string, Operation>> = { GET: "get", HEAD: "head", PUT: "put", DELETE: "delete" };
  return names[method] ?? "other";
}

/** What would change every answer, if it were heeded. */
const refusedHeaders = [
  "x-amz-server-side-encryption-customer-algorithm",
  "x-amz-copy-source-server-side-encryption-customer-algorithm",
  "x-amz-mfa",
];

/** Whether a request writes a value: it needs as much as a PUT does. */
export function isWrite({ url, method }: Incoming): boolean {
  return method === "PUT" || (method === "POST" && /(^|&)uploadId=/.test(splitUrl(url).query));
}

async function dispatch(store: Store, asked: Asked): Promise<Response> {
  const { bucket, key, request } = asked;
  for (const name of refusedHeaders) if (asked.header(name) !== undefined) throw notImplemented(name);
  if (bucket === "") {
    if (request.method === "GET" && asked.path === "/") return await listBuckets(store, asked);
    throw new S3Error("MethodNotAllowed", "without a bucket, the list of buckets can be read", {
      headers: { allow: "GET" },
    });
  }
  if (isReserved(Buffer.from(`/${bucket}/`))) throw new S3Error("AccessDenied", "what this names is not for clients");
  return key === undefined ? await onBucket(store, asked) : await onObject(store, asked);
}

async function onBucket(store: Store, asked: Asked): Promise<Response> {
  const { bucket, request } = asked;
  const subresource = subresourceOf(asked);
  const has = (name: string) => asked.query(name) !== undefined;
  if (request.method === "GET") {
    if (subresource !== undefined || has("location")) await requireBucket(store, bucket);
    if (subresource !== undefined) return answerBucketQuestion(subresource);
    if (has("location")) return xmlAnswer("LocationConstraint", "");
    return has("uploads") ? await listUploads(store, asked) : await listObjects(store, asked);
  }
  if (request.method === "POST" && has("delete")) return await deleteObjects(store, asked, asked.payload());
  if (subresource !== undefined) throw notImplemented(subresource);
  switch (request.method) {
    case "HEAD":
      await requireBucket(store, bucket);
      return new Response(null, { headers: { "x-amz-bucket-region": "us-east-1" } });
    case "PUT": {
      const document = await documentIn(asked.payload().chunks);
      if (document.length > 0) readXml(document, "CreateBucketConfiguration");
      return await createBucket(store, asked);
    }
    case "DELETE":
      return await deleteBucket(store, bucket);
    case "POST":
      throw new S3Error("NotImplemented", "forms of browsers are not supported");
    default:
      throw new S3Error("MethodNotAllowed", `${request.method} is not a method for a bucket`);
  }
}

async function onObject(store: Store, asked: Asked): Promise<Response> {
  const { request, about, goesOn } = asked;
  const subresource = subresourceOf(asked);
  const [isPart, isUploads] = [asked.query("uploadId") !== undefined, asked.query("uploads") !== undefined];
  const later = (work: Promise<Document>) => {
    goesOn(work);
    return keptAlive(work, about);
  };
  if (subresource !== undefined) {
    if (request.method !== "GET") throw notImplemented(subresource);
    if (!(await statValue(store, asked.key!))) throw new S3Error("NoSuchKey", "The specified key does not exist.");
    return answerObjectQuestion(subresource);
  }
  const isCopy = asked.header("x-amz-copy-source") !== undefined;
  switch (request.method) {
    case "GET":
    case "HEAD":
      return isPart ? await listParts(store, asked) : await readObject(store, asked);
    case "PUT":
      if (isPart) return isCopy ? await later(copyPart(store, asked)) : await uploadPart(store, asked, asked.payload());
      if (asked.query("partNumber") !== undefined) throw new S3Error("InvalidRequest", "a part has an uploadId");
      return isCopy ? await later(copyObject(store, asked)) : await putObject(store, asked, asked.payload());
    case "DELETE":
      return isPart ? await abortUpload(store, asked) : await deleteObject(store, asked);
    case "POST":
      if (isUploads) return await createUpload(store, asked);
      if (isPart) return await later(completeUpload(store, asked, asked.payload()));
      throw new S3Error("NotImplemented", "POST of an object is not supported");
    default:
      throw new S3Error("MethodNotAllowed", `${request.method} is not a method for an object`);
  }
}
