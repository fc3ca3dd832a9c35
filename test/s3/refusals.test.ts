// What would not be done as it is asked is refused, and nothing is done.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { crc32 } from "node:zlib";
import { type S3Cluster, startS3 } from "../support/s3";
import { type Asked, ask } from "../support/s3-sign";
import { md5Hex } from "../support/values";

setDefaultTimeout(60_000);
let s3: S3Cluster;
beforeAll(async () => {
  s3 = await startS3();
  await ask(s3.port, { method: "PUT", target: "/bkt" });
});
afterAll(() => s3[Symbol.asyncDispose]());

const send = (asked: Asked) => ask(s3.port, asked);
const codeIn = (text: string) => /<Code>(\w+)<\/Code>/.exec(text)?.[1];

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

test("a delete of many that names an ETag deletes nothing", async () => {
  await send({ method: "PUT", target: "/bkt/kept", body: "kept" });
  const body = `<Delete><Object><Key>kept</Key><ETag>"${md5Hex("other")}"</ETag></Object></Delete>`;
  const headers = { "content-md5": Buffer.from(md5Hex(body), "hex").toString("base64") };
  expect(codeIn((await send({ method: "POST", target: "/bkt?delete", body, headers })).text)).toBe("NotImplemented");
  expect((await send({ target: "/bkt/kept" })).text).toBe("kept");
});

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
