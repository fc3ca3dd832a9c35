// What clients send beyond those that clients.test.ts runs: each line stands for one that could not work otherwise.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import { dial, head, raw, request } from "../support/http";
import { type S3Cluster, codeIn, startS3 } from "../support/s3";
import { type Asked, ask, framed, presign, sign } from "../support/s3-sign";
import { md5Hex } from "../support/values";

setDefaultTimeout(60_000);
let s3: S3Cluster;
beforeAll(async () => {
  s3 = await startS3({ flags: ["-s3domain", "s3.test"] });
  await send({ method: "PUT", target: "/bkt" });
  await send({ method: "PUT", target: "/bkt/a%20b%2Bc", body: "odd" });
});
afterAll(() => s3[Symbol.asyncDispose]());

const send = (asked: Asked) => ask(s3.port, asked);
const sum = (algorithm: string, text: string) => createHash(algorithm).update(text).digest("base64");

const put = { method: "PUT", target: "/bkt/taken", body: "x" };
const taken: [what: string, asked: Asked][] = [
  ["no region at all", { target: "/bkt", region: "" }],
  ["the version of the API, as libcloud does", { target: "/bkt?Version=2006-03-01" }],
  ["why it is asked, as Elasticsearch says", { ...put, target: `${put.target}?x-purpose=SnapshotData` }],
  ["one slash too many, as S3 Browser does", { target: "//" }],
  ["a wish of MinIO's own, as mc does", { target: "/bkt?list-type=2&metadata=true" }],
  ["whose object it is to be", { ...put, headers: { "x-amz-acl": "bucket-owner-full-control" } }],
  ["headers without a value", { ...put, headers: { "x-amz-storage-class": "", "x-amz-tagging": "" } }],
  ["what becomes of tags, where there are none", { ...put, headers: { "x-amz-tagging-directive": "REPLACE" } }],
  ["a source whose space is a plus", { ...put, body: "", headers: { "x-amz-copy-source": "bkt/a+b%2Bc" } }],
  ["a source that is encoded whole", { ...put, body: "", headers: { "x-amz-copy-source": "%2Fbkt%2Fa%20b%2Bc" } }],
  [
    "many to delete that the signature alone vouches for, as object_store once did",
    { method: "POST", target: "/bkt?delete", body: "<Delete><Object><Key>none</Key></Object></Delete>" },
  ],
  [
    "a source with an empty version",
    { ...put, body: "", headers: { "x-amz-copy-source": "/bkt/a%20b%2Bc?versionId=" } },
  ],
];

test.each(taken)("%s is no reason to refuse", async (_, asked) => {
  const answer = await send(asked);
  expect([answer.status, codeIn(answer.text)]).toEqual([200, undefined]);
});

const notDone: [what: string, asked: Partial<Asked>][] = [
  ["a sum that cannot be compared", { headers: { "x-amz-checksum-sha512": sum("sha512", "x") } }],
  ["a sum that cannot be compared, and comes later", { headers: { "x-amz-trailer": "x-amz-checksum-md5" } }],
  ["a condition on its age", { headers: { "if-unmodified-since": "Mon, 01 Jan 2001 00:00:00 GMT" } }],
  ["a part of a body", { headers: { "content-range": "bytes 0-0/2" } }],
  ["a parameter that nobody knows", { target: "/bkt/not-done?position=5" }],
];

test.each(notDone)("a PUT with %s is refused, and nothing is stored", async (_, asked) => {
  const answer = await send({ method: "PUT", target: "/bkt/not-done", body: "x", ...asked });
  expect([answer.status, codeIn(answer.text)]).toEqual([501, "NotImplemented"]);
  expect((await send({ method: "HEAD", target: "/bkt/not-done" })).status).toBe(404);
});

test("a bucket with tags is not made; a location says nothing", async () => {
  const create = (inner: string) =>
    send({ method: "PUT", target: "/tagged", body: `<CreateBucketConfiguration>${inner}</CreateBucketConfiguration>` });
  const tags = "<Tags><Tag><Key>a</Key><Value>b</Value></Tag></Tags>";
  expect(codeIn((await create(tags)).text)).toBe("NotImplemented");
  expect((await send({ method: "HEAD", target: "/tagged" })).status).toBe(404);
  expect((await create("<LocationConstraint>auto</LocationConstraint>")).status).toBe(200);
});

test("what a bucket or an object has none of is removed: 204, and they stay", async () => {
  const remove = async (target: string) => (await send({ method: "DELETE", target })).status;
  for (const name of ["policy", "cors", "lifecycle", "tagging"])
    expect([name, await remove(`/bkt?${name}`)]).toEqual([name, 204]);
  expect(await remove("/bkt/a%20b%2Bc?tagging")).toBe(204);
  expect([await remove("/none?policy"), await remove("/bkt/none?tagging"), await remove("/bkt?versioning")]).toEqual([
    404, 404, 501,
  ]);
  expect((await send({ target: "/bkt/a%20b%2Bc" })).text).toBe("odd");
});

test("the access control list of a bucket and an object is that of their owner", async () => {
  for (const target of ["/bkt?acl", "/bkt/?acl=", "/bkt/a%20b%2Bc?acl"]) {
    const { status, text } = await send({ target });
    expect([status, text]).toEqual([200, expect.stringContaining("<Permission>FULL_CONTROL</Permission>")]);
    expect(text.match(/<Grant>/g)).toHaveLength(1);
  }
  expect(codeIn((await send({ target: "/none?acl" })).text)).toBe("NoSuchBucket"); // So Java asks whether it is there.
  const set = async (target: string, acl: string, body = "") =>
    codeIn((await send({ method: "PUT", target, body, headers: { "x-amz-acl": acl } })).text);
  expect(await set("/bkt/a%20b%2Bc?acl", "private")).toBeUndefined();
  expect(await set("/bkt?acl", "private")).toBeUndefined();
  expect(await set("/bkt/none?acl", "private")).toBe("NoSuchKey");
  for (const [acl, body] of [["public-read"], ["private", "<AccessControlPolicy/>"], [""]])
    expect(await set("/bkt/a%20b%2Bc?acl", acl!, body)).toBe("NotImplemented");
  expect((await send({ target: "/bkt/a%20b%2Bc" })).text).toBe("odd");
  expect(codeIn((await send({ target: "/bkt?constructor" })).text)).toBe("NotImplemented");
});

test("the region is told without a signature, and nothing else", async () => {
  for (const target of ["/bkt", "/none"]) {
    const { status, headers } = await request(s3.port, { method: "HEAD", target });
    expect([status, headers.get("x-amz-bucket-region")]).toEqual([403, "us-east-1"]);
  }
  const preflight = await request(s3.port, { method: "OPTIONS", target: "/bkt/x", headers: { origin: "http://x" } });
  expect([preflight.status, preflight.text]).toEqual([403, expect.stringContaining("CORS is not supported")]);
});

test("a link may say type and MD5 of what is put by it", async () => {
  const link = (text: string) =>
    presign({
      method: "PUT",
      target: `/bkt/linked?Content-Type=text%2Fx&Content-MD5=${encodeURIComponent(sum("md5", text))}`,
    });
  const put = (target: string) => request(s3.port, { method: "PUT", target, body: "by link" });
  expect(codeIn((await put(link("other"))).text)).toBe("BadDigest");
  expect((await put(link("by link"))).status).toBe(200);
  expect((await send({ method: "HEAD", target: "/bkt/linked" })).headers.get("content-type")).toBe("text/x");
});

test("a client may have signed its host without the port that it sends, or with one that it does not", async () => {
  const read = async (signed: string, sent: string) =>
    (await raw(s3.port, `GET ${presign({ target: "/bkt" }, signed)} HTTP/1.1\r\nHost: ${sent}\r\n\r\n`)).status;
  const hosts: [signed: string, sent: string][] = [
    ["s3.local", "s3.local:9000"], // git-annex, fog-aws
    ["s3.local:443", "s3.local"], // an SDK that was told the port
    ["[::1]", "[::1]:9000"],
  ];
  for (const [signed, sent] of hosts) expect([sent, await read(signed, sent)]).toEqual([sent, 200]);
  expect(await read("s3.local", "s3.other")).toBe(403);
  expect(await read("s3.local:9000", "s3.local:9001")).toBe(403);
});

test("a header in several lines is signed as one, with commas", async () => {
  const name = "x-amz-object-attributes";
  const { headers } = sign({ target: "/bkt", headers: { [name]: "ETag,ObjectSize" } });
  const lines = { ...headers, [name]: `ETag\r\n${name}: ObjectSize` };
  expect((await request(s3.port, { target: "/bkt", headers: lines })).status).toBe(200);
});

test("a sum after the body that was not announced, and a delete of all that begins alike, are refused", async () => {
  const payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
  const put = { method: "PUT", target: "/bkt/late", headers: { "x-amz-decoded-content-length": "4" }, payload };
  const { headers, date } = sign(put);
  const body = framed(Buffer.from("late"), { date, trailer: `x-amz-checksum-sha256:${sum("sha256", "other")}` });
  expect(codeIn((await request(s3.port, { ...put, headers, body })).text)).toBe("InvalidRequest");
  expect((await send({ method: "HEAD", target: "/bkt/late" })).status).toBe(404);
  const force = { "x-minio-force-delete": "true" };
  expect((await send({ method: "DELETE", target: "/bkt/a", headers: force })).status).toBe(501);
});

test.each(["STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"])(
  "blank lines around what follows a body of %s, as minio-go has them, are passed over",
  async (payload) => {
    const trailer = `x-amz-checksum-sha256:${sum("sha256", "framed")}`;
    const announced = { "x-amz-decoded-content-length": "6", "x-amz-trailer": "x-amz-checksum-sha256" };
    const put = { method: "PUT", target: "/bkt/framed", headers: announced, payload };
    const { headers, signature, date } = sign(put);
    const seed = payload.includes("UNSIGNED") ? {} : { seed: signature };
    const body = framed(Buffer.from("framed"), { date, trailer, ...seed }).toString("latin1");
    const sendBody = (body: string) => request(s3.port, { ...put, headers, body });
    const spaced = body.replace(trailer, `${trailer}\n`);
    expect(codeIn((await sendBody(`${spaced}more`)).text)).toBe("IncompleteBody");
    expect(codeIn((await sendBody(spaced.replace(/\r\n\r\n$/, ""))).text)).toBe("IncompleteBody");
    expect((await sendBody(spaced.replace(/^6/, "0000000006"))).status).toBe(200); // One chunk may be of 5 GiB.
    expect((await send({ target: "/bkt/framed" })).text).toBe("framed");
  },
);

test("the sum of the sums of the parts may be named without their number, and what is complete be aborted", async () => {
  const crc = (data: string | Uint8Array) => Buffer.from(crc32(data).toString(16).padStart(8, "0"), "hex");
  const how = { "x-amz-checksum-algorithm": "CRC32" };
  const { text } = await send({ method: "POST", target: "/bkt/summed?uploads", headers: how });
  const id = /<UploadId>([^<]+)</.exec(text)![1]!;
  const ofPart = { "x-amz-checksum-crc32": crc("bytes").toString("base64") };
  const part = { method: "PUT", target: `/bkt/summed?partNumber=1&uploadId=${id}`, body: "bytes", headers: ofPart };
  expect((await send(part)).status).toBe(200);
  const sums = `<ChecksumCRC32>${ofPart["x-amz-checksum-crc32"]}</ChecksumCRC32>`;
  const named = `<Part><PartNumber>1</PartNumber><ETag>"${md5Hex("bytes")}"</ETag>${sums}</Part>`;
  const complete = (sum: string) =>
    send({
      method: "POST",
      target: `/bkt/summed?uploadId=${id}`,
      body: `<CompleteMultipartUpload>${named}</CompleteMultipartUpload>`,
      headers: { "x-amz-checksum-crc32": sum },
    });
  expect(codeIn((await complete(crc("other").toString("base64"))).text)).toBe("BadDigest");
  expect((await complete(crc(crc("bytes")).toString("base64"))).status).toBe(200);
  const abort = (id: string) => send({ method: "DELETE", target: `/bkt/summed?uploadId=${id}` });
  expect([(await abort(id)).status, (await abort(`${id}0`)).status]).toEqual([204, 404]); // As tus does in the end.
  expect((await send({ target: "/bkt/summed" })).text).toBe("bytes");
});

test("the end of an upload tells where the object is as a client behind a proxy sees it", async () => {
  const { text } = await send({ method: "POST", target: "/bkt/told?uploads" });
  const target = `/bkt/told?uploadId=${/<UploadId>([^<]+)</.exec(text)![1]!}`;
  await send({ method: "PUT", target: `${target}&partNumber=1`, body: "told" });
  const part = `<Part><PartNumber>1</PartNumber><ETag>${md5Hex("told")}</ETag></Part>`;
  const body = `<CompleteMultipartUpload>${part}</CompleteMultipartUpload>`;
  for (const scheme of ["https", "http"]) {
    const done = await send({ method: "POST", target, body, headers: { "x-forwarded-proto": scheme } });
    expect(done.text).toContain(`<Location>${scheme}://localhost/bkt/told</Location>`);
  }
});

test("the bucket may stand in the name of the host, in front of the domain", async () => {
  const from = async (host: string, asked: Asked) => {
    const lines = Object.entries(sign(asked, host).headers).map(([name, value]) => `${name}: ${value}\r\n`);
    const { method = "GET", target, body = "" } = asked;
    const head = `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Length: ${body.length}\r\n`;
    return await raw(s3.port, `${head}${lines.join("")}\r\n${body as string}`);
  };
  expect((await from("with.dots.s3.test", { method: "PUT", target: "/" })).status).toBe(200);
  const put = await from(`with.dots.s3.test:${s3.port}`, { method: "PUT", target: "/a/../b%20c", body: "by host" });
  expect(put.status).toBe(200);
  expect((await send({ target: "/with.dots/a/../b%20c" })).text).toBe("by host");
  expect((await from("BKT.s3.test", { target: "/a%20b%2Bc" })).text).toBe("odd");
  expect((await from("bkt.s3.test", { target: "/?prefix=a" })).text).toContain("<Name>bkt</Name>");
  expect((await from("s3.test", { target: "/bkt/a%20b%2Bc" })).text).toBe("odd");
  expect((await from("bkt.other.test", { target: "/bkt/a%20b%2Bc" })).text).toBe("odd");
  expect(codeIn((await from("mkv:uploads.s3.test", { target: "/x" })).text)).toBe("AccessDenied");
});

test("a client that closes its side behind its request gets its answer; half a body counts for nothing", async () => {
  const put = { method: "PUT", target: "/bkt/closing", body: "closing" };
  const exchange = async (asked: Asked, missing = 0) => {
    using wire = await dial(s3.port);
    const line = head({ ...asked, headers: sign(asked).headers }, { close: false });
    const body = Buffer.from(asked.body ?? "");
    wire.write(Buffer.concat([line, body.subarray(0, body.length - missing)]));
    wire.end();
    return await wire.answer({ toHead: asked.method === "HEAD" });
  };
  expect((await exchange(put, 1)).status).toBe(400);
  expect((await exchange({ ...put, method: "HEAD", body: "" })).status).toBe(404);
  expect((await exchange(put)).status).toBe(200);
  expect((await exchange({ target: put.target })).text).toBe("closing");
});

test("each thread serves the port", async () => {
  const port = s3.port.toString(16).toUpperCase().padStart(4, "0");
  const sockets = ["tcp", "tcp6"].flatMap((family) => readFileSync(`/proc/net/${family}`, "utf8").split("\n"));
  expect(sockets.filter((line) => new RegExp(`^ *\\d+: [0-9A-F]+:${port} [0-9A-F:]+ 0A `).test(line))).toHaveLength(2);
});
