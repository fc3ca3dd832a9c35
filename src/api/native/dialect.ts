// Owns the HTTP dialect of the original: a function from Request to Response.
import { MkvError } from "../../errors";
import { type Key, encodePercent, parseKey } from "../../format/key";
import { limits } from "../../limits";
import { retryBusy } from "../../ledger/retry-busy";
import { deleteKey } from "../../store/delete";
import { put } from "../../store/put";
import { type Location, locate, unlink } from "../../store/find";
import { type Store } from "../../store/store";
import { isReserved } from "../../store/uploads";
import { announcedBytes, chunksOf, requireUnconditional, requireWhole, shortBodyOf } from "../body";
import { type Authorizer, asUserInfo, userOf } from "../authorize";
import { answerJob, answerJobQuestion } from "./jobs";
import { type Lists, answerList } from "./list";
import { type About, type Operation, operationOfMethod } from "../requests";
import { empty, failed } from "../respond";
import { readParameter, splitUrl } from "../url";

/** What the dialect needs: a store, and what the flags say of answering. */
export type Native = {
  readonly store: Store;
  readonly lists: Lists;
  /** Longest silence of a client in the middle of a value. */
  readonly clienttimeoutMs: number;
  /** Server (`host:port`) that absent keys redirect to. */
  readonly fallback: string | undefined;
  readonly authorizer: Authorizer | undefined;
  /** What this request brought, once it has been checked; the master's own credentials are never shown. */
  readonly credentials?: string;
};

/** A request, with whose it is, and the end of its connection. */
export type Asked = {
  readonly request: Request;
  readonly method: string;
  readonly url: string;
  cut(): void;
  address(): string;
  /** What the log is to be told. */
  readonly about: About | undefined;
};

/** Answers a request, at once where nothing has to be waited for; never throws. */
export function answer(native: Native, asked: Asked): Response | Promise<Response> {
  try {
    const { authorizer } = native;
    const answered = authorizer
      ? identify(native, authorizer, asked).then((known) => dispatch(known, asked))
      : dispatch(native, asked);
    return answered instanceof Promise ? answered.catch(failed) : answered;
  } catch (error) {
    return failed(error);
  }
}

async function identify(native: Native, authorizer: Authorizer, asked: Asked): Promise<Native> {
  const { request, about } = asked;
  const credentials = await authorizer.check(request.headers.get("authorization"), asked.address());
  if (about) about.user = userOf(credentials);
  const { store } = native;
  return { ...native, credentials, store: { ...store, volumes: store.volumes.as(credentials) } };
}

function dispatch(native: Native, asked: Asked): Response | Promise<Response> {
  const { method } = asked;
  const { path, query } = splitUrl(asked.url);
  const key = parseKey(path);
  if (isReserved(key) && (query === "" || changes.includes(method)))
    throw new MkvError("forbidden", "keys that begin like this are for uploads in parts, by S3");
  if (query !== "") return whenFree(() => operate(native, asked, { key, query }));
  switch (method) {
    case "GET":
    case "HEAD":
      return redirect(native, key, asked.about);
    case "PUT":
      return whenFree(() => receive(native, key, asked, "nothing"));
    case "DELETE":
      requireUnconditional(asked.request, false);
      return whenFree(() => deleteKey(native.store, key).then(() => empty(204)));
    case "UNLINK":
      requireUnconditional(asked.request, false);
      return whenFree(() => unlink(native.store, key).then(() => empty(204)));
    default:
      throw new MkvError("method", `${method} is not a method for a key`, { allow: methodsOfKeys });
  }
}

/** What this request is about, for those who count. */
export function operationOf(method: string, url: string): Operation {
  const isList = (method === "GET" || method === "HEAD") && url.includes("?");
  return isList ? "list" : operationOfMethod(method);
}

/** The methods that change a value; a POST is a job's, which looks after reserved keys as after all. */
const changes = ["PUT", "DELETE", "UNLINK"];
const methodsOfKeys = "GET, HEAD, PUT, DELETE, UNLINK";

/** The methods that each operation takes. */
const methodsOf: ReadonlyMap<string, string> = new Map([
  ...["list", "unlinked"].map((name) => [name, "GET, HEAD"] as const),
  ["records", "GET, HEAD, POST"],
  ["export", "GET"],
  ["topology", "GET"],
  ["job", "GET, POST"],
  ["replace", "PUT"],
  ...["rebalance", "examine", "orphan", "staged", "adopt"].map((name) => [name, "POST"] as const),
]);

/** No body has been touched when a key is found busy. */
function whenFree(work: () => Response | Promise<Response>): Promise<Response> {
  return retryBusy(work, limits.busyPauseMs);
}

/** Requests with a query: its first parameter is the operation. */
function operate(
  native: Native,
  asked: Asked,
  { key, query }: { key: Key; query: string },
): Response | Promise<Response> {
  const { request, method } = asked;
  const { store, lists } = native;
  const [operation, ...parameters] = query.split("&").map(readParameter);
  const { name } = operation!;
  const allow = methodsOf.get(name);
  if ((method === "GET" || method === "HEAD") && (name === "list" || name === "unlinked" || name === "records"))
    return answerList(native, key, { kind: name, parameters, asked });
  if (method === "GET" && (name === "topology" || name === "job")) return answerJobQuestion(store, operation!);
  if (method === "GET" && name === "export") return lists.exports.answer(store, () => asked.cut());
  const isReplace = name === "replace" && operation!.value.length === 0 && parameters.length === 0;
  if (method === "PUT" && isReplace) return receive(native, key, asked, "anything");
  // Any page sends a POST wherever its browser gets to, with the password that it knows; other changes it has to ask for.
  if (method === "POST" && request.headers.has("origin"))
    throw new MkvError("forbidden", "a POST is not taken from the page of a browser (it has an Origin)");
  if (method === "POST" && allow?.endsWith("POST"))
    return answerJob(store, key, { operation: operation!, parameters, request });
  const late = allow === undefined && parameters.find((parameter) => methodsOf.has(parameter.name));
  const text = late
    ? `"${late.name}" must be the first parameter, as in ${late.name}&${name}`
    : `there is no operation "${name}" for ${method}`;
  if (method !== "POST" && methodsOfKeys.split(", ").includes(method)) throw new MkvError("forbidden", text);
  throw new MkvError("method", text, { allow: allow ?? methodsOfKeys });
}

function redirect(native: Native, key: Key, about: About | undefined): Response | Promise<Response> {
  const location = locate(native.store, key);
  if (location instanceof Promise) return location.then((found) => redirectTo(native, key, found, about));
  if (!location && native.fallback === undefined && native.authorizer === undefined) return notThere;
  return redirectTo(native, key, location, about);
}

/**
 * Without a body and headers, one Response serves any number of requests, if it is answered at once: one whose client goes
 * away before it is answered takes the Response along.
 */
const notThere = empty(404);

function redirectTo(
  { store, fallback, credentials }: Native,
  key: Key,
  location: Location | undefined,
  about: About | undefined,
): Response {
  if (!location) {
    if (fallback === undefined) return empty(404);
    return empty(302, { location: `http://${fallback}${encodePercent(key)}` });
  }
  const { volume, path, record, balanced } = location;
  if (about) about.volumes = [volume];
  const link = store.volumes.linkTo(volume, path);
  const url = link === undefined ? `${asUserInfo(credentials)}${volume}${path}` : `${volume}${path}${link}`;
  const headers: Record<string, string> = {
    location: `http://${url}`,
    "key-volumes": record.volumes.join(","),
    "key-balance": balanced ? "balanced" : "unbalanced",
  };
  if (record.md5 !== undefined) headers["content-md5"] = record.md5;
  return empty(302, headers);
}

async function receive(
  { store, clienttimeoutMs }: Native,
  key: Key,
  { request, about }: Asked,
  over: "nothing" | "anything",
): Promise<Response> {
  requireWhole(request);
  requireUnconditional(request, over === "nothing");
  const md5 = readMd5(request.headers.get("content-md5"));
  const bytes = announcedBytes(request);
  const withdrawn = bytes === undefined ? request.signal : undefined;
  const isShort = bytes !== undefined && bytes <= limits.tricklingBytes;
  const chunks = isShort
    ? shortBodyOf(request, { clienttimeoutMs, about })
    : chunksOf(request.body ?? new Blob().stream(), { clienttimeoutMs, about, withdrawn });
  const { volumes } = await put(store, key, { chunks, bytes, md5, withdrawn }, { over });
  if (about) about.volumes = volumes;
  return empty(201);
}

/** MD5 in lower-case hex out of a `Content-MD5` header, which is Base64 by RFC 1864 and hex by habit. */
function readMd5(header: string | null): string | undefined {
  if (header === null) return undefined;
  if (/^[0-9a-f]{32}$/i.test(header)) return header.toLowerCase();
  if (/^[A-Za-z0-9+/]{22}==$/.test(header)) return Buffer.from(header, "base64").toString("hex");
  throw new MkvError("bad-request", "Content-MD5 is neither 32 hex digits nor the Base64 of 16 bytes");
}
