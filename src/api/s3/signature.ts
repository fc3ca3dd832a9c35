// Owns who sent a request, and the keys of those who may: AWS Signature Version 4, in the headers or in the query (a
// presigned link).
// https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html and sigv4-query-string-auth.html
// 1. The path is encoded anew, once, and never normalized. Any region will do, and none, which some clients send.
// 2. Every x-amz-* header must be signed, but for x-amz-content-sha256: what is signed ends in its value, listed or not.
//    Sums are compared in constant time.
// 3. The host counts with its port and without: not all clients sign what they send (git-annex, fog-aws, SDKs at port 80).
import { timingSafeEqual } from "node:crypto";
import { s3Limits } from "../../s3-limits";
import { decodePercent } from "../../format/key";
import { S3Error } from "./errors";
import { type S3Request, isBare } from "./request";

/** Access keys with their secrets. */
export class Keys {
  #secrets: ReadonlyMap<string, string>;
  readonly #derived = new Map<string, Uint8Array>();

  constructor(secrets: ReadonlyMap<string, string>) {
    this.#secrets = secrets;
  }

  /** From now on these count, and no others. */
  replace(secrets: ReadonlyMap<string, string>): void {
    this.#secrets = secrets;
    this.#derived.clear();
  }

  /**
   * What a request of this day is signed with.
   * @param scope `DAY/REGION/s3/aws4_request`
   * @throws S3Error InvalidAccessKeyId
   */
  signingKey(accessKey: string, scope: string): Uint8Array {
    const secret = this.#secrets.get(accessKey);
    if (secret === undefined)
      throw new S3Error("InvalidAccessKeyId", `there is no access key ${accessKey}`, { AWSAccessKeyId: accessKey });
    const name = `${accessKey} ${scope}`;
    let key = this.#derived.get(name);
    if (key) return key;
    key = Buffer.from(`AWS4${secret}`);
    for (const part of scope.split("/")) key = hmac(key, part);
    if (this.#derived.size >= 100) this.#derived.clear();
    this.#derived.set(name, key);
    return key;
  }
}

/** What a request says of who sent it. */
type Claimed = {
  readonly accessKey: string;
  /** `DAY/REGION/s3/aws4_request`. */
  readonly scope: string;
  /** As in X-Amz-Date. */
  readonly date: string;
  /** Headers that are signed. */
  readonly names: readonly string[];
  readonly signature: string;
  /** What is said of the body: the hex of its SHA256, or one of the names that AWS has for others. */
  readonly payload: string;
};

/** The same of a request whose signature fits, and the key that it was made with: the signatures of chunks begin from it. */
export type Signed = Claimed & { readonly key: Uint8Array };

const algorithm = "AWS4-HMAC-SHA256";
const dayMs = 86_400_000;

/** Throws S3Error AccessDenied, InvalidAccessKeyId, RequestTimeTooSkewed, SignatureDoesNotMatch, or that it is malformed. */
export function verify(asked: S3Request, keys: Keys, nowMs: number = Date.now()): Signed {
  const claimed = claimedBy(asked, nowMs);
  const { accessKey, scope, date, names, signature, payload } = claimed;
  const key = keys.signingKey(accessKey, scope);
  if (asked.query("X-Amz-Signature") === undefined && Math.abs(msOf(date)! - nowMs) > s3Limits.skewMs)
    throw new S3Error(
      "RequestTimeTooSkewed",
      "the time of the request and of this server differ by more than 15 minutes",
    );
  requireSignedHeaders(asked, names);
  let fields: Record<string, string> = { AWSAccessKeyId: accessKey, SignatureProvided: signature };
  for (const host of hostsOf(asked.header("host") ?? "")) {
    const canonical = canonicalRequest(asked, { names, payload, host });
    const hashed = new Bun.CryptoHasher("sha256").update(Buffer.from(canonical, "latin1")).digest("hex");
    const text = `${algorithm}\n${date}\n${scope}\n${hashed}`;
    if (isEqual(signature, hmac(key, text).toHex())) return { ...claimed, key };
    fields = { StringToSign: text, CanonicalRequest: canonical, ...fields };
  }
  const advice = "check the secret key, and that a proxy leaves Host and path as they are";
  throw new S3Error("SignatureDoesNotMatch", `the signature does not fit the request: ${advice}`, fields);
}

/** What a client that sends this host may have signed: the host as it is, with a default port, or without its port. */
function hostsOf(host: string): string[] {
  const name = host.replace(/:\d+$/, "");
  return name === host ? [host, `${host}:80`, `${host}:443`] : [host, name];
}

/** The SHA256 of no bytes. */
export const hashOfNothing = new Bun.CryptoHasher("sha256").digest("hex");

/** Whether two signatures are the same, in constant time. */
export function isEqual(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

/** HMAC-SHA256. */
export function hmac(key: Uint8Array, text: string): Uint8Array {
  return new Bun.CryptoHasher("sha256", key).update(text).digest();
}

function claimedBy(asked: S3Request, nowMs: number): Claimed {
  const authorization = asked.header("authorization");
  const isPresigned = asked.query("X-Amz-Algorithm") !== undefined || asked.query("X-Amz-Signature") !== undefined;
  if (isPresigned) return claimedByQuery(asked, nowMs);
  if (authorization?.startsWith("AWS ") || asked.query("AWSAccessKeyId") !== undefined)
    throw new S3Error(
      "InvalidRequest",
      `Signature Version 2 is not supported: use ${algorithm} (signature_version s3v4)`,
    );
  if (!authorization) throw new S3Error("AccessDenied", "the request is not signed");
  const field = (pattern: RegExp) => pattern.exec(authorization)?.[1] ?? "";
  const [accessKey, scope] = credentialOf(field(/[ ,]Credential=([^, ]+)/), "AuthorizationHeaderMalformed");
  const [names, signature] = [field(/[ ,]SignedHeaders=([^, ]+)/), field(/[ ,]Signature=([^, ]+)/)];
  if (!authorization.startsWith(`${algorithm} `) || signature === "" || names === "")
    throw new S3Error(
      "AuthorizationHeaderMalformed",
      `Authorization is ${algorithm} Credential=, SignedHeaders=, Signature=`,
    );
  const date = asked.header("x-amz-date") ?? dateOf(Date.parse(asked.header("date") ?? ""));
  if (date === undefined || msOf(date) === undefined || !scope.startsWith(`${date.slice(0, 8)}/`))
    throw new S3Error("AccessDenied", "a signed request has an X-Amz-Date, of the day of its credential");
  const payload = asked.header("x-amz-content-sha256") ?? (isBare(asked) ? hashOfNothing : undefined); // curl sends none.
  if (payload === undefined)
    throw new S3Error("InvalidRequest", "the header x-amz-content-sha256 is missing: UNSIGNED-PAYLOAD would do");
  return { accessKey, scope, date, names: names.split(";"), signature, payload };
}

function claimedByQuery(asked: S3Request, nowMs: number): Claimed {
  const malformed = (text: string) => new S3Error("AuthorizationQueryParametersError", text);
  const get = (name: string) => {
    const value = asked.query(`X-Amz-${name}`);
    if (value === undefined || value === "") throw malformed(`X-Amz-${name} is missing`);
    return value;
  };
  if (get("Algorithm") !== algorithm) throw malformed(`X-Amz-Algorithm is ${algorithm}`);
  const [accessKey, scope] = credentialOf(get("Credential"), "AuthorizationQueryParametersError");
  const [date, expires] = [get("Date"), get("Expires")];
  const ms = msOf(date);
  if (ms === undefined || !scope.startsWith(`${date.slice(0, 8)}/`)) throw malformed("X-Amz-Date is 20130524T000000Z");
  const seconds = /^\d{1,6}$/.test(expires) ? Number(expires) : 0;
  if (seconds < 1 || seconds * 1000 > 7 * dayMs)
    throw malformed("X-Amz-Expires is a number of seconds, at most 604800");
  if (ms > nowMs + s3Limits.skewMs) throw new S3Error("AccessDenied", "Request is not valid yet");
  if (ms + seconds * 1000 < nowMs) throw new S3Error("AccessDenied", "Request has expired");
  const payload = asked.query("X-Amz-Content-Sha256") ?? asked.header("x-amz-content-sha256") ?? "UNSIGNED-PAYLOAD";
  const names = get("SignedHeaders").split(";");
  return { accessKey, scope, date, names, signature: get("Signature"), payload };
}

/** The access key, which may have slashes, and the scope. */
function credentialOf(
  text: string,
  code: "AuthorizationHeaderMalformed" | "AuthorizationQueryParametersError",
): [accessKey: string, scope: string] {
  const match = /^(.+)\/(\d{8}\/[^/]*\/s3\/aws4_request)$/.exec(text);
  if (!match) throw new S3Error(code, "a credential is ACCESSKEY/DAY/REGION/s3/aws4_request");
  return [match[1]!, match[2]!];
}

function requireSignedHeaders({ request }: S3Request, names: readonly string[]): void {
  if (!names.includes("host")) throw new S3Error("AccessDenied", "the header host must be signed");
  for (const name of request.headers.keys()) {
    if (!name.startsWith("x-amz-") || name === "x-amz-content-sha256" || names.includes(name)) continue;
    throw new S3Error("AccessDenied", `There were headers present in the request which were not signed: ${name}`);
  }
}

function canonicalRequest(
  { request, path, parameters, header }: S3Request,
  { names, payload, host }: { names: readonly string[]; payload: string; host: string },
): string {
  const pairs = parameters
    .filter(([name]) => name !== "X-Amz-Signature")
    .map(([name, value]) => `${encoded(Buffer.from(name))}=${encoded(Buffer.from(value))}`)
    .sort((a, b) => (a.replace("=", "\0") < b.replace("=", "\0") ? -1 : 1));
  const valueOf = (name: string) => (name === "host" ? host : (header(name) ?? ""));
  // Values are bytes: what is white space as Unicode has it may be part of a letter.
  const folded = (value: string) => value.replace(/[ \t]+/g, " ").replace(/^ | $/g, "");
  const lines = names.map((name) => `${name}:${folded(valueOf(name))}\n`);
  const target = path.replace(/[^/]+/g, (part) => (isPlain.test(part) ? part : encodedPath(decodePercent(part))));
  return [request.method, target, pairs.join("&"), lines.join(""), names.join(";"), payload].join("\n");
}

/** What AWS leaves as it is. */
const isPlain = /^[A-Za-z0-9._~-]*$/;

/** Bytes as AWS percent-encodes them. */
export function encoded(bytes: Uint8Array): string {
  return Buffer.from(bytes)
    .toString("latin1")
    .replace(/[^A-Za-z0-9._~-]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
}

/** The same of a path, or a name: its slashes stay, also those that were sent encoded. */
export function encodedPath(bytes: Uint8Array): string {
  return encoded(bytes).replaceAll("%2F", "/");
}

/** The time of an X-Amz-Date, as `20130524T000000Z`. */
function msOf(date: string): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(date);
  const ms = match ? Date.UTC(+match[1]!, +match[2]! - 1, +match[3]!, +match[4]!, +match[5]!, +match[6]!) : Number.NaN;
  return Number.isNaN(ms) ? undefined : ms;
}

function dateOf(ms: number): string | undefined {
  return Number.isNaN(ms) ? undefined : `${new Date(ms).toISOString().slice(0, 19).replace(/[-:]/g, "")}Z`;
}
