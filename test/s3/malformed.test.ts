// What no good client sends is refused with AWS's code, and nothing of it is stored.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Answer, request } from "../support/http";
import { type S3Cluster, codeIn, startS3 } from "../support/s3";
import { type Asked, ask, framed, presign, sign } from "../support/s3-sign";

setDefaultTimeout(60_000);
let s3: S3Cluster;
beforeAll(async () => {
  s3 = await startS3();
  expect((await ask(s3.port, { method: "PUT", target: "/bkt" })).status).toBe(200);
});
afterAll(() => s3[Symbol.asyncDispose]());

const put = { method: "PUT", target: "/bkt/no" };
const codeOf = ({ status, text }: Answer) => [status, codeIn(text)];

async function expectNothing(): Promise<void> {
  expect((await ask(s3.port, { method: "HEAD", target: "/bkt/no" })).status).toBe(404);
}

const tomorrow = new Date(Date.now() + 86_400_000);
const { headers: good } = sign(put);
const authorization = good.authorization!;
const spoilt: [what: string, headers: Record<string, string | undefined>, status: number, code: string][] = [
  [
    "no signature in it",
    { authorization: authorization.replace(/, Signature=.*/, "") },
    400,
    "AuthorizationHeaderMalformed",
  ],
  [
    "no names of headers",
    { authorization: authorization.replace(/SignedHeaders=[^,]*, /, "") },
    400,
    "AuthorizationHeaderMalformed",
  ],
  [
    "another algorithm",
    { authorization: authorization.replace("SHA256", "SHA512") },
    400,
    "AuthorizationHeaderMalformed",
  ],
  [
    "a credential of another service",
    { authorization: authorization.replace("/s3/", "/ec2/") },
    400,
    "AuthorizationHeaderMalformed",
  ],
  ["a host that is not signed", { authorization: authorization.replace("host;", "") }, 403, "AccessDenied"],
  ["no date", { "x-amz-date": undefined }, 403, "AccessDenied"],
  ["a date that is none", { "x-amz-date": good["x-amz-date"]!.replace("T", " ") }, 403, "AccessDenied"],
  ["a date of another day", { "x-amz-date": sign({ ...put, at: tomorrow }).date }, 403, "AccessDenied"],
  ["nothing said of the body", { "x-amz-content-sha256": undefined }, 400, "InvalidRequest"],
];

test.each(spoilt)("a PUT with %s", async (_, changed, status, code) => {
  const headers = Object.fromEntries(
    Object.entries({ ...good, ...changed }).filter(([, value]) => value !== undefined),
  );
  expect(codeOf(await request(s3.port, { ...put, headers: headers as Record<string, string>, body: "x" }))).toEqual([
    status,
    code,
  ]);
  await expectNothing();
});

const links: [what: string, change: (link: string) => string, status: number, code: string][] = [
  ["another algorithm", (link) => link.replace("HMAC-SHA256", "HMAC-SHA1"), 400, "AuthorizationQueryParametersError"],
  ["no credential", (link) => link.replace(/X-Amz-Credential=[^&]*&/, ""), 400, "AuthorizationQueryParametersError"],
  [
    "a credential that is none",
    (link) => link.replace(/(X-Amz-Credential=)[^&]*/, "$1me"),
    400,
    "AuthorizationQueryParametersError",
  ],
  ["no date", (link) => link.replace(/X-Amz-Date=[^&]*&/, ""), 400, "AuthorizationQueryParametersError"],
  [
    "a date that is none",
    (link) => link.replace(/(X-Amz-Date=)[^&]*/, "$1now"),
    400,
    "AuthorizationQueryParametersError",
  ],
  [
    "no time in which it is good",
    (link) => link.replace(/(X-Amz-Expires=)60/, "$10"),
    400,
    "AuthorizationQueryParametersError",
  ],
  [
    "more than a week",
    (link) => link.replace(/(X-Amz-Expires=)60/, "$1604801"),
    400,
    "AuthorizationQueryParametersError",
  ],
  ["no signature", (link) => link.replace(/&X-Amz-Signature=.*/, ""), 400, "AuthorizationQueryParametersError"],
];

test.each(links)("a presigned link with %s", async (_, change, status, code) => {
  const target = change(presign(put));
  expect(codeOf(await request(s3.port, { method: "PUT", target, body: "x" }))).toEqual([status, code]);
  await expectNothing();
});

test("a presigned link of tomorrow is not good yet", async () => {
  const target = presign({ ...put, at: tomorrow });
  const answer = await request(s3.port, { method: "PUT", target, body: "x" });
  expect(codeOf(answer)).toEqual([403, "AccessDenied"]);
  expect(answer.text).toContain("Request is not valid yet");
});

const unsigned = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
const signed = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
const framings: [what: string, payload: string, body: string, code: string][] = [
  ["begins with no size", unsigned, "five\r\nhello\r\n0\r\n\r\n", "IncompleteBody"],
  ["goes on where a chunk should end", unsigned, "5\r\nhello!\r\n0\r\n\r\n", "IncompleteBody"],
  ["ends in a chunk", unsigned, "9\r\nhello", "IncompleteBody"],
  ["ends before the last chunk", unsigned, "5\r\nhello\r\n", "IncompleteBody"],
  ["has a line without an end", unsigned, "5".repeat(5_000), "IncompleteBody"],
  ["has something behind it that is no field", unsigned, "5\r\nhello\r\n0\r\nwhat?\r\n\r\n", "IncompleteBody"],
  ["has fields without an end", unsigned, `5\r\nhello\r\n0\r\n${"a:b\r\n".repeat(30)}\r\n`, "IncompleteBody"],
  ["has more bytes than announced", unsigned, "6\r\nhello!\r\n0\r\n\r\n", "IncompleteBody"],
  ["has a chunk without the signature that it needs", signed, "5\r\nhello\r\n0\r\n\r\n", "IncompleteBody"],
  ["has signatures of a kind that nobody knows", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "x", "NotImplemented"],
];

test.each(framings)("a body in chunks that %s", async (_, payload, body, code) => {
  const answer = await ask(s3.port, { ...put, payload, headers: { "x-amz-decoded-content-length": "5" }, body });
  expect(codeIn(answer.text)).toBe(code);
  await expectNothing();
});

test("what follows a body whose chunks are signed must be signed too", async () => {
  const asked = {
    ...put,
    payload: `${signed}-TRAILER`,
    headers: { "x-amz-decoded-content-length": "5", "x-amz-trailer": "x-amz-checksum-crc32" },
  };
  const { headers, signature, date } = sign(asked);
  const whole = framed(Buffer.from("hello"), {
    seed: signature,
    date,
    trailer: "x-amz-checksum-crc32:NhCmhg==",
  }).toString("latin1");
  const body = whole.replace(/x-amz-trailer-signature:.*\r\n/, "");
  expect(codeOf(await request(s3.port, { ...asked, headers, body }))).toEqual([403, "SignatureDoesNotMatch"]);
  await expectNothing();
  expect(
    (await request(s3.port, { ...asked, target: "/bkt/yes", ...signedAs({ ...asked, target: "/bkt/yes" }) })).status,
  ).toBe(200);
});

/** The same, as it should be. */
function signedAs(asked: Asked) {
  const { headers, signature, date } = sign(asked);
  return {
    headers,
    body: framed(Buffer.from("hello"), { seed: signature, date, trailer: "x-amz-checksum-crc32:NhCmhg==" }),
  };
}

const tooLong = { "content-length": String(5 * 1024 ** 3 + 1) };
const payload = "UNSIGNED-PAYLOAD";

test("a body of no known length, or a longer one than AWS takes, is refused before it comes", async () => {
  const begun = await ask(s3.port, { method: "POST", target: "/bkt/no?uploads" });
  const id = /<UploadId>(.+)<\/UploadId>/.exec(begun.text)![1]!;
  for (const target of ["/bkt/no", `/bkt/no?partNumber=1&uploadId=${id}`]) {
    expect(codeOf(await ask(s3.port, { ...put, target, payload, body: "x", chunkBytes: 1 }))).toEqual([
      411,
      "MissingContentLength",
    ]);
    const { headers } = sign({ ...put, target, payload });
    const answer = await request(s3.port, { ...put, target, headers: { ...headers, ...tooLong } });
    expect(codeOf(answer)).toEqual([400, "EntityTooLarge"]);
  }
  const unnumbered = "<CompleteMultipartUpload><Part><ETag>x</ETag></Part></CompleteMultipartUpload>";
  const answer = await ask(s3.port, { method: "POST", target: `/bkt/no?uploadId=${id}`, body: unnumbered });
  expect(codeOf(answer)).toEqual([400, "MalformedXML"]);
  await expectNothing();
});

const conditions: [what: string, headers: Record<string, string>, status: number, code: string][] = [
  ["an If-None-Match that names a tag", { "if-none-match": '"abc"' }, 501, "NotImplemented"],
  [
    "a sum before the body and one after it",
    { "x-amz-checksum-crc32": "NhCmhg==", "x-amz-trailer": "x-amz-checksum-crc32" },
    400,
    "InvalidRequest",
  ],
];

test.each(conditions)("a PUT with %s", async (_, headers, status, code) => {
  expect(codeOf(await ask(s3.port, { ...put, headers, body: "hello" }))).toEqual([status, code]);
  await expectNothing();
});

const objects = (count: number) => "<Object><Key>no</Key></Object>".repeat(count);
const documents: [what: string, body: string][] = [
  ["no object", "<Delete></Delete>"],
  ["1,001 objects", `<Delete>${objects(1_001)}</Delete>`],
  ["another root", `<Remove>${objects(1)}</Remove>`],
  ["elements within elements without an end", `<Delete>${"<a>".repeat(20)}${"</a>".repeat(20)}</Delete>`],
  ["more bytes than a thousand names can have", `<Delete><!--${"x".repeat(3 << 20)}--></Delete>`],
];

test.each(documents)("a deletion of many with %s", async (_, body) => {
  expect(codeOf(await ask(s3.port, { method: "POST", target: "/bkt?delete", body }))).toEqual([400, "MalformedXML"]);
});

test("a deletion of many answers for each that it cannot do, and does the others", async () => {
  expect((await ask(s3.port, { method: "PUT", target: "/bkt/goes", body: "x" })).status).toBe(200);
  const body =
    "<Delete><Object><Key></Key></Object><Object><Key>a</Key><Size>1</Size></Object><Object><Key>goes</Key></Object></Delete>";
  const { text } = await ask(s3.port, { method: "POST", target: "/bkt?delete", body });
  expect(
    [...text.matchAll(/<Code>(\w+)<\/Code>|<Deleted><Key>(\w+)<\/Key>/g)].map(([, code, key]) => code ?? key),
  ).toEqual(["MalformedXML", "NotImplemented", "goes"]);
  expect((await ask(s3.port, { method: "HEAD", target: "/bkt/goes" })).status).toBe(404);
});

test("an object has no tags", async () => {
  expect((await ask(s3.port, { method: "PUT", target: "/bkt/plain", body: "x" })).status).toBe(200);
  expect((await ask(s3.port, { target: "/bkt/plain?tagging" })).text).toContain("<TagSet></TagSet>");
});
