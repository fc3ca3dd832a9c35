// Who is let in, and what is said to whoever is not: nothing is stored of what fails.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { chmodSync, writeFileSync } from "node:fs";
import { freePort } from "../support/ports";
import { request } from "../support/http";
import { runMkv } from "../support/master";
import { type S3Cluster, accessKeyId, codeIn, secretAccessKey, startS3 } from "../support/s3";
import { type Asked, ask, framed, presign, sign } from "../support/s3-sign";
import { until } from "../support/until";

setDefaultTimeout(60_000);
let s3: S3Cluster;
beforeAll(async () => {
  s3 = await startS3();
  expect((await ask(s3.port, { method: "PUT", target: "/bkt" })).status).toBe(200);
});
afterAll(() => s3[Symbol.asyncDispose]());

const send = (asked: Asked) => ask(s3.port, asked);
const sum = (algorithm: string, body: string) => createHash(algorithm).update(body).digest("base64");

async function exists(key: string): Promise<boolean> {
  return (await send({ method: "HEAD", target: `/bkt/${key}` })).status === 200;
}

const old = new Date(Date.now() - 20 * 60_000);
const refused: [what: string, asked: Asked, status: number, code: string][] = [
  ["an unknown access key", { target: "/bkt", accessKey: "AKNOBODY" }, 403, "InvalidAccessKeyId"],
  ["a wrong secret", { target: "/bkt", secret: "another-secret" }, 403, "SignatureDoesNotMatch"],
  ["a clock that is wrong", { target: "/bkt", at: old }, 403, "RequestTimeTooSkewed"],
  [
    "another body",
    { method: "PUT", target: "/bkt/no", body: "x", payload: "0".repeat(64) },
    400,
    "XAmzContentSHA256Mismatch",
  ],
  [
    "a wrong MD5",
    { method: "PUT", target: "/bkt/no", body: "x", headers: { "content-md5": sum("md5", "y") } },
    400,
    "BadDigest",
  ],
  [
    "half an MD5",
    { method: "PUT", target: "/bkt/no", body: "x", headers: { "content-md5": "YWJj" } },
    400,
    "InvalidDigest",
  ],
  [
    "a wrong sum",
    { method: "PUT", target: "/bkt/no", body: "x", headers: { "x-amz-checksum-sha256": sum("sha256", "y") } },
    400,
    "BadDigest",
  ],
  [
    "two sums",
    {
      method: "PUT",
      target: "/bkt/no",
      body: "x",
      headers: { "x-amz-checksum-sha256": sum("sha256", "x"), "x-amz-checksum-sha1": sum("sha1", "x") },
    },
    400,
    "InvalidRequest",
  ],
  ["a bucket that is not there", { method: "PUT", target: "/none/no", body: "x" }, 404, "NoSuchBucket"],
  ["a key that is too long", { method: "PUT", target: `/bkt/${"k".repeat(1_100)}`, body: "x" }, 400, "KeyTooLongError"],
  [
    "too much metadata",
    { method: "PUT", target: "/bkt/no", body: "x", headers: { "x-amz-meta-a": "b".repeat(2_100) } },
    400,
    "MetadataTooLarge",
  ],
  [
    "a key of the customer",
    {
      method: "PUT",
      target: "/bkt/no",
      body: "x",
      headers: { "x-amz-server-side-encryption-customer-algorithm": "AES256" },
    },
    501,
    "NotImplemented",
  ],
  ["tags", { method: "PUT", target: "/bkt/no", body: "x", headers: { "x-amz-tagging": "a=b" } }, 501, "NotImplemented"],
  [
    "everybody's access",
    { method: "PUT", target: "/bkt/no", body: "x", headers: { "x-amz-acl": "public-read" } },
    501,
    "NotImplemented",
  ],
  ["a subresource of an object", { method: "PUT", target: "/bkt/no?acl", body: "x" }, 501, "NotImplemented"],
  ["a query that nobody knows", { method: "PUT", target: "/bkt/no?wonder", body: "x" }, 501, "NotImplemented"],
  ["the form of a browser", { method: "POST", target: "/bkt", body: "x" }, 501, "NotImplemented"],
  ["parts of others", { target: "/mkv:uploads/x" }, 403, "AccessDenied"],
  ["another version", { target: "/bkt/no?versionId=7" }, 404, "NoSuchVersion"],
  ["no XML", { method: "POST", target: "/bkt?delete", body: "<Delete>" }, 400, "MalformedXML"],
];

test.each(refused)("%s is refused, and nothing is stored", async (_, asked, status, code) => {
  const answer = await send(asked);
  expect([answer.status, codeIn(answer.text)]).toEqual([status, code]);
  expect(answer.text).toContain(`<RequestId>${answer.headers.get("x-amz-request-id")}</RequestId>`);
  expect(answer.text).not.toContain("<Message></Message>");
  expect(Math.abs(Date.parse(answer.headers.get("date")!) - Date.now())).toBeLessThan(60_000); // Clocks are set by it.
  expect(await exists("no")).toBe(false);
});

test("a request without a signature, by version 2, or with a header that is not signed, is refused", async () => {
  const bare = await request(s3.port, { target: "/bkt" });
  expect([bare.status, codeIn(bare.text)]).toEqual([403, "AccessDenied"]);
  const second = await request(s3.port, { target: "/bkt", headers: { Authorization: "AWS AKTEST:c2ln" } });
  expect([second.status, codeIn(second.text)]).toEqual([400, "InvalidRequest"]);
  const { headers } = sign({ target: "/bkt" });
  const more = await request(s3.port, { target: "/bkt", headers: { ...headers, "x-amz-acl": "private" } });
  expect([more.status, codeIn(more.text)]).toEqual([403, "AccessDenied"]);
});

test("any region will do, and odd paths are signed as they are", async () => {
  for (const target of [
    "/bkt/it's(a)!*",
    "/bkt/%C3%BC/a%20b+c",
    "/bkt//double//",
    "/bkt/a/../b/./c",
    "/bkt/%2F%3F%23",
  ]) {
    expect((await send({ method: "PUT", target, body: target, region: "mars-1" })).status).toBe(200);
    expect((await send({ target })).text).toBe(target);
  }
  expect((await send({ target: "/bkt/b/c" })).status).toBe(404);
  expect((await send({ target: "/bkt/%2Fdouble/%2f" })).text).toBe("/bkt//double//"); // The AWS SDK for Java writes it so.
});

test("a presigned link is good for what it says, as long as it says", async () => {
  const put = presign({ method: "PUT", target: "/bkt/linked" });
  expect((await request(s3.port, { method: "PUT", target: put, body: "by link" })).status).toBe(200);
  expect((await request(s3.port, { target: presign({ target: "/bkt/linked" }) })).text).toBe("by link");
  expect((await request(s3.port, { target: put })).status).toBe(403);
  const late = await request(s3.port, { target: presign({ target: "/bkt/linked", at: old }) });
  expect([late.status, late.text]).toEqual([403, expect.stringContaining("expired")]);
  const typed = presign({ target: "/bkt/linked?response-content-type=text%2Fx" });
  expect((await request(s3.port, { target: typed })).headers.get("content-type")).toBe("text/x");
  const long = await request(s3.port, { target: presign({ target: "/bkt/linked", expires: 700_000 }) });
  expect(codeIn(long.text)).toBe("AuthorizationQueryParametersError");
});

const data = Buffer.alloc(150_000, "chunked ");
const crc = { "x-amz-trailer": "x-amz-checksum-sha256" };
const trailer = `x-amz-checksum-sha256:${createHash("sha256").update(data).digest("base64")}`;
const STREAMING = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";

/** A PUT of `data` in AWS's framing; a signed one if it has a seed. */
async function putFramed(
  key: string,
  payload: string,
  how: { spoil?: number; trailer?: string; cut?: number; chunkBytes?: number } = {},
) {
  const headers = { "x-amz-decoded-content-length": String(data.length), ...(how.trailer !== undefined && crc) };
  const asked = { method: "PUT", target: `/bkt/${key}`, headers, payload };
  const { headers: signed, signature, date } = sign({ ...asked, at: new Date() });
  const seed = payload.startsWith(STREAMING) ? { seed: signature } : {};
  const body = framed(data, { date, ...seed, ...how });
  const sent = body.subarray(0, body.length - (how.cut ?? 0));
  return await request(s3.port, {
    method: "PUT",
    target: asked.target,
    headers: signed,
    body: sent,
    chunkBytes: how.chunkBytes,
  });
}

test.each([
  [STREAMING, {}],
  [`${STREAMING}-TRAILER`, { trailer }],
  ["STREAMING-UNSIGNED-PAYLOAD-TRAILER", { trailer }],
  ["STREAMING-UNSIGNED-PAYLOAD-TRAILER", { trailer, chunkBytes: 10_000 }],
] as const)("a body in the framing of %s is taken out of it", async (payload, how) => {
  const answer = await putFramed("framed", payload, how);
  expect([answer.status, answer.text]).toEqual([200, ""]);
  expect((await send({ target: "/bkt/framed" })).body.equals(data)).toBe(true);
});

test.each([
  ["a chunk of another signature", STREAMING, { spoil: 1 }, "SignatureDoesNotMatch"],
  ["a last chunk of another signature", STREAMING, { spoil: 3 }, "SignatureDoesNotMatch"],
  ["an end that lacks", STREAMING, { cut: 90 }, "IncompleteBody"],
  ["a wrong sum after it", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", { trailer: trailer.replace(/:./, ":x") }, "BadDigest"],
  ["no sum after it", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", { trailer: "x-amz-other:1" }, "InvalidRequest"],
] as const)("a framed body with %s is refused, and nothing is stored", async (_, payload, how, code) => {
  const answer = await putFramed("spoilt", payload, how);
  expect(codeIn(answer.text)).toBe(code);
  expect(await exists("spoilt")).toBe(false);
});
test("questions that clients ask by habit get the answer of a bucket that has none", async () => {
  expect((await send({ target: "/bkt?versioning" })).text).toContain("<VersioningConfiguration");
  expect((await send({ target: "/bkt/?location=" })).text).toContain("<LocationConstraint");
  for (const [name, code] of Object.entries({
    policy: "NoSuchBucketPolicy",
    cors: "NoSuchCORSConfiguration",
    lifecycle: "NoSuchLifecycleConfiguration",
    tagging: "NoSuchTagSet",
  }))
    expect(codeIn((await send({ target: `/bkt?${name}` })).text)).toBe(code);
});

test("a bucket is there once it was made, or anything is in it, and goes when it is empty", async () => {
  const bucket = (method: string, name: string) => send({ method, target: `/${name}` });
  expect([(await bucket("HEAD", "made")).status, (await bucket("PUT", "made")).status]).toEqual([404, 200]);
  expect(codeIn((await bucket("PUT", "made")).text)).toBe("BucketAlreadyOwnedByYou");
  expect(codeIn((await bucket("PUT", "Not_A_Name")).text)).toBe("InvalidBucketName");
  await s3.cluster.store("/by-key/x", "x");
  const { text } = await send({ target: "/" });
  expect(text).toMatch(/<Name>bkt<.*<Name>by-key<.*<Name>made</);
  expect(codeIn((await bucket("DELETE", "by-key")).text)).toBe("BucketNotEmpty");
  expect((await s3.cluster.ask("DELETE", "/by-key/x")).status).toBe(204);
  expect((await bucket("HEAD", "by-key")).status).toBe(404);
  expect((await bucket("DELETE", "made")).status).toBe(204);
  expect((await bucket("DELETE", "made")).status).toBe(404);
});

test("access keys are read again on SIGHUP; a file that is none changes nothing", async () => {
  const lines = (text: string) => writeFileSync(s3.keys, text);
  const statusOf = async (accessKey: string) =>
    (await send({ target: "/bkt", accessKey, secret: "second-secret" })).status;
  expect(await statusOf("AKSECOND")).toBe(403);
  lines(`${accessKeyId}:${secretAccessKey}\nAKSECOND:second-secret\n`);
  s3.cluster.master.process.signal("SIGHUP");
  const all = () => Promise.all(Array.from({ length: 16 }, () => statusOf("AKSECOND")));
  await until(async () => (await all()).every((status) => status === 200), { what: "it holds with all threads" });
  lines("nonsense\n");
  s3.cluster.master.process.signal("SIGHUP");
  await until(() => s3.cluster.master.output.includes("go on to hold"), { what: "the log says so" });
  expect(await statusOf("AKSECOND")).toBe(200);
});

test("without keys, with keys that others can read, or without MD5s, there is no S3 port", async () => {
  const store = ["-db", s3.cluster.db, "-volumes", s3.cluster.addresses.join(",")];
  const run = (...flags: string[]) => runMkv([...store, ...flags, "server"]);
  const port = ["-s3port", String(await freePort())];
  writeFileSync(s3.keys, `${accessKeyId}:${secretAccessKey}\n`);
  expect(await run(...port)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("-s3keys") });
  expect(await run("-s3keys", s3.keys)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("-s3port") });
  const both = [...port, "-s3keys", s3.keys];
  expect(await run(...both, "-md5sum=false")).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("MD5") });
  chmodSync(s3.keys, 0o644);
  expect(await run(...both)).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("chmod o-r") });
  chmodSync(s3.keys, 0o600);
});
