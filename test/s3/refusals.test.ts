// What would not be done as it is asked is refused, and nothing is done.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { dial, head, request } from "../support/http";
import { type S3Cluster, codeIn, startS3 } from "../support/s3";
import { type Asked, ask, sign } from "../support/s3-sign";
import { md5Hex } from "../support/values";

setDefaultTimeout(60_000);
let s3: S3Cluster;
beforeAll(async () => {
  s3 = await startS3();
  await ask(s3.port, { method: "PUT", target: "/bkt" });
});
afterAll(() => s3[Symbol.asyncDispose]());

const send = (asked: Asked) => ask(s3.port, asked);

test("what names a part, or another operation, is never taken for the object or the bucket itself", async () => {
  await send({ method: "PUT", target: "/bkt/there", body: "there" });
  for (const query of ["uploads", "partNumber=1", "location", "delete"]) {
    expect((await send({ method: "DELETE", target: `/bkt/there?${query}` })).status).toBe(501);
    const put = await send({ method: "PUT", target: `/bkt/there?${query}`, body: "other" });
    expect(put.status).toBeOneOf([400, 501]);
  }
  expect((await send({ target: "/bkt/there" })).text).toBe("there");
  await send({ method: "PUT", target: "/named" });
  for (const query of ["uploads", "location", "versions", "delete"])
    expect((await send({ method: "DELETE", target: `/named?${query}` })).status).toBe(501);
  expect((await send({ method: "HEAD", target: "/named" })).status).toBe(200);
});

const md5 = (text: string) => Buffer.from(md5Hex(text), "hex").toString("base64");

test("what is deleted is what is meant: one object, or one of many, by its ETag", async () => {
  const put = (key: string) => send({ method: "PUT", target: `/bkt/${key}`, body: "kept" });
  const remove = (match: string) => send({ method: "DELETE", target: "/bkt/kept", headers: { "if-match": match } });
  await Promise.all(["kept", "one", "many"].map(put));
  expect(codeIn((await remove(`"${md5Hex("other")}"`)).text)).toBe("PreconditionFailed");
  expect((await send({ target: "/bkt/kept" })).text).toBe("kept");
  for (const match of ["*", `"${md5Hex("kept")}"`]) {
    expect((await remove(match)).status).toBe(204);
    expect(codeIn((await remove(match)).text)).toBe("NoSuchKey");
    await put("kept");
  }
  const named = (key: string, of: string) => `<Object><Key>${key}</Key><ETag>"${md5Hex(of)}"</ETag></Object>`;
  const body = `<Delete>${named("one", "other")}${named("many", "kept")}</Delete>`;
  const { text } = await send({ method: "POST", target: "/bkt?delete", body, headers: { "content-md5": md5(body) } });
  expect(text).toContain("<Deleted><Key>many</Key></Deleted>");
  expect(text).toContain("<Error><Key>one</Key><Code>PreconditionFailed</Code>");
  const left = await Promise.all(["one", "many"].map((key) => send({ method: "HEAD", target: `/bkt/${key}` })));
  expect(left.map(({ status }) => status)).toEqual([200, 404]);
});

const target = "/bkt/stays";
const many = "<Delete><Object><Key>stays</Key></Object></Delete>";
const time = "Sat, 29 Oct 1994 19:43:31 GMT";
const others: [what: string, asked: Asked, status: number, code: string][] = [
  ["a time", { method: "PUT", target, body: "new", headers: { "if-unmodified-since": time } }, 501, "NotImplemented"],
  ["another version", { method: "PUT", target: `${target}?versionId=7`, body: "new" }, 404, "NoSuchVersion"],
  ["what is no UTF-8", { method: "PUT", target: `${target}%FF`, body: "new" }, 400, "InvalidURI"],
  [
    "a part of a source",
    { method: "PUT", target, headers: { "x-amz-copy-source": "bkt/there", "x-amz-copy-source-range": "bytes=0-1" } },
    501,
    "NotImplemented",
  ],
  [
    "no framing, and is framed",
    {
      ...{ method: "PUT", target, body: "3\r\nnew\r\n0\r\n\r\n", payload: "UNSIGNED-PAYLOAD" },
      headers: { "content-encoding": "aws-chunked", "x-amz-decoded-content-length": "3" },
    },
    400,
    "InvalidRequest",
  ],
  ["a size", { method: "DELETE", target, headers: { "x-amz-if-match-size": "1" } }, 501, "NotImplemented"],
  ["an absence", { method: "DELETE", target, headers: { "if-none-match": "*" } }, 501, "NotImplemented"],
  [
    "many that nothing vouches for",
    { method: "POST", target: "/bkt?delete", body: many, payload: "UNSIGNED-PAYLOAD" },
    400,
    "InvalidRequest",
  ],
  [
    "another MD5",
    { method: "POST", target: "/bkt?delete", body: many, headers: { "content-md5": md5("") } },
    400,
    "BadDigest",
  ],
];

test.each(others)("a write that names %s changes nothing", async (_, asked, status, code) => {
  await send({ method: "PUT", target, body: "as it was" });
  const answer = await send(asked);
  expect([answer.status, codeIn(answer.text)]).toEqual([status, code]);
  expect((await send({ target })).text).toBe("as it was");
});

test("a document in another encoding than UTF-8 names no key by mistake", async () => {
  const unreadable = "/bkt/%EF%BF%BD"; // What a decoder makes of bytes that it cannot read.
  await send({ method: "PUT", target: unreadable, body: "kept" });
  const latin1 = Buffer.from("<Delete><Object><Key>\xe9</Key></Object></Delete>", "latin1");
  const declared = Buffer.from(
    '<?xml version="1.0" encoding="iso-8859-1"?><Delete><Object><Key>\ufffd</Key></Object></Delete>',
  );
  for (const body of [latin1, declared]) {
    const headers = { "content-md5": createHash("md5").update(body).digest("base64") };
    expect(codeIn((await send({ method: "POST", target: "/bkt?delete", body, headers })).text)).toBe("MalformedXML");
  }
  expect((await send({ target: unreadable })).text).toBe("kept");
});

test("an Authorization that says nothing is none", async () => {
  const { status, text } = await request(s3.port, { target, headers: { authorization: "" } });
  expect([status, codeIn(text)]).toEqual([403, "AccessDenied"]);
});

test.each<Asked & { body: string; status: number }>([
  { method: "PUT", target: "/none/awaited", body: "", status: 404 },
  { method: "POST", target: "/bkt/awaited?uploads", body: "unwanted", status: 200 },
])("an answer in the place of 100 Continue ends the connection: %j", async ({ status, ...asked }) => {
  using wire = await dial(s3.port);
  const { headers } = sign({ ...asked, headers: { expect: "100-continue" } });
  wire.write(head({ ...asked, headers }, { close: false }));
  const answer = await wire.answer();
  expect([answer.status, answer.continued, answer.headers.get("connection")]).toEqual([status, false, "close"]);
});

test("of the lock of an object it is said that its bucket has none", async () => {
  await send({ method: "PUT", target: "/bkt/unlocked", body: "x" });
  for (const name of ["retention", "legal-hold"]) {
    const { status, text } = await send({ target: `/bkt/unlocked?${name}` });
    expect([status, codeIn(text)]).toEqual([400, "InvalidRequest"]); // As AWS has it.
  }
});

test.each(["a..b", "a.-b", "a-.b", "-ab", "ab.", "192.168.5.4", "a_b", "Abc", "ab", "a".repeat(64)])(
  "%s is no name of a bucket",
  async (name) => expect(codeIn((await send({ method: "PUT", target: `/${name}` })).text)).toBe("InvalidBucketName"),
);

test.each([
  ["x-amz-acl", "public-read"],
  ["x-amz-grant-read", "id=1"],
  ["x-amz-object-ownership", "ObjectWriter"],
  ["x-amz-bucket-object-lock-enabled", "true"],
])("a bucket with %s: %s is not made", async (name, value) => {
  const answer = await send({ method: "PUT", target: "/other", headers: { [name]: value } });
  expect([answer.status, codeIn(answer.text)]).toEqual([501, "NotImplemented"]);
  expect((await send({ method: "HEAD", target: "/other" })).status).toBe(404);
});

const crc32Of = (text: string) => Buffer.from(crc32(text).toString(16).padStart(8, "0"), "hex").toString("base64");

test("an object is only made of its parts if it has the sum and the length that are meant", async () => {
  const how = { "x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "FULL_OBJECT" };
  const { text } = await send({ method: "POST", target: "/bkt/summed?uploads", headers: how });
  const id = /<UploadId>([^<]+)</.exec(text)![1]!;
  await send({ method: "PUT", target: `/bkt/summed?partNumber=1&uploadId=${id}`, body: "bytes" });
  const named = `<Part><PartNumber>1</PartNumber><ETag>"${md5Hex("bytes")}"</ETag></Part>`;
  const body = `<CompleteMultipartUpload>${named}</CompleteMultipartUpload>`;
  const complete = (headers: Record<string, string>) =>
    send({ method: "POST", target: `/bkt/summed?uploadId=${id}`, body, headers });
  const sums: [sum: string, code: string][] = [
    [crc32Of("other"), "BadDigest"],
    [`${crc32Of("bytes")}-1`, "BadDigest"],
    ["none", "InvalidRequest"],
  ];
  for (const [sum, code] of sums) expect(codeIn((await complete({ "x-amz-checksum-crc32": sum })).text)).toBe(code);
  expect(codeIn((await complete({ "x-amz-mp-object-size": "6" })).text)).toBe("InvalidRequest");
  expect((await send({ method: "HEAD", target: "/bkt/summed" })).status).toBe(404);
  const meant = { "x-amz-checksum-crc32": crc32Of("bytes"), "x-amz-mp-object-size": "5" };
  expect((await complete(meant)).status).toBe(200);
  const read = await send({ target: "/bkt/summed", headers: { "x-amz-checksum-mode": "ENABLED" } });
  const told = ["x-amz-checksum-crc32", "x-amz-checksum-type"].map((name) => read.headers.get(name));
  expect([read.text, ...told]).toEqual(["bytes", crc32Of("bytes"), "FULL_OBJECT"]);
});

test("a list of buckets is of those that begin as is asked", async () => {
  await send({ method: "PUT", target: "/another" });
  const { text } = await send({ target: "/?prefix=an" });
  expect([...text.matchAll(/<Name>([^<]+)</g)].map(([, name]) => name)).toEqual(["another"]);
});

test("a list of buckets comes by pages, if it is asked to", async () => {
  for (const name of ["page-a", "page-b", "page-c"]) await send({ method: "PUT", target: `/${name}` });
  const found: (string | undefined)[] = [];
  for (let token = ""; token !== undefined;) {
    const { text } = await send({ target: `/?prefix=page-&max-buckets=2&continuation-token=${token}` });
    found.push([...text.matchAll(/<Name>([^<]+)</g)].map(([, name]) => name).join());
    token = /<ContinuationToken>([^<]+)</.exec(text)?.[1]!;
  }
  expect(found).toEqual(["page-a,page-b", "page-c"]);
  expect(codeIn((await send({ target: "/?max-buckets=0" })).text)).toBe("InvalidArgument"); // Its end would be no end.
});

const end =
  '<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"1"</ETag></Part></CompleteMultipartUpload>';
test.each<Omit<Asked, "target">>([
  { method: "GET" },
  { method: "DELETE" },
  { method: "PUT", body: "part" },
  { method: "PUT", headers: { "x-amz-copy-source": "/bkt/stays" } },
  { method: "POST", body: end },
])("of an upload in no bucket it is said that there is no bucket: %j", async (asked) => {
  const query = `uploadId=1${asked.method === "PUT" ? "&partNumber=1" : ""}`;
  const refusal = async (bucket: string) => codeIn((await send({ ...asked, target: `/${bucket}/key?${query}` })).text);
  expect(await Promise.all(["none", "bkt"].map(refusal))).toEqual(["NoSuchBucket", "NoSuchUpload"]);
});

test("an upload is not given up on a condition that is not looked at", async () => {
  const { text } = await send({ method: "POST", target: "/bkt/begun?uploads" });
  const upload = `/bkt/begun?uploadId=${/<UploadId>([^<]+)</.exec(text)![1]!}`;
  const headers = { "x-amz-if-match-initiated-time": time };
  expect((await send({ method: "DELETE", target: upload, headers })).status).toBe(501);
  expect((await send({ target: upload })).status).toBe(200);
});
