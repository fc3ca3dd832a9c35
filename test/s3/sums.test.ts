// Sums by other algorithms than MD5: of objects, of parts, of what is made of them.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { type S3Cluster, codeIn, startS3 } from "../support/s3";
import { type Asked, ask } from "../support/s3-sign";
import { md5Hex, valueOf } from "../support/values";

setDefaultTimeout(60_000);
let s3: S3Cluster;
beforeAll(async () => {
  s3 = await startS3();
  await send({ method: "PUT", target: "/sums" });
  await send({ method: "PUT", target: "/sums/digits", body: digits });
});
afterAll(() => s3[Symbol.asyncDispose]());

const send = (asked: Asked) => ask(s3.port, asked);
const all = (text: string, name: string) =>
  [...text.matchAll(new RegExp(`<${name}>([^<]*)<`, "g"))].map((match) => match[1]);

const digits = "123456789";
const first = valueOf("first", 5 * 1024 * 1024);
const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest("base64");
const crc = (data: string | Uint8Array) =>
  Buffer.from(crc32(data).toString(16).padStart(8, "0"), "hex").toString("base64");
const ofDigits = { SHA256: sha256(digits), CRC32: crc(digits), CRC64NVME: "rosUhgp5mIg=", CRC32C: "4waSgw==" };
type Algorithm = keyof typeof ofDigits;

async function begin(key: string, headers: Record<string, string>) {
  const answer = await send({ method: "POST", target: `/sums/${key}?uploads`, headers });
  return { answer, id: all(answer.text, "UploadId")[0]! };
}

const copied = { "x-amz-copy-source": "/sums/digits" };

const composite = (...sums: string[]) =>
  `${sha256(Buffer.concat(sums.map((sum) => Buffer.from(sum, "base64"))))}-${sums.length}`;
const wholes: [algorithm: Algorithm, type: string, sum: string | undefined][] = [
  ["SHA256", "COMPOSITE", composite(sha256(first), ofDigits.SHA256)],
  ["CRC32", "FULL_OBJECT", crc(Buffer.concat([first, Buffer.from(digits)]))],
  ["CRC64NVME", "FULL_OBJECT", undefined],
];

test.each(wholes)(
  "an upload with %s, %s: parts get it, however they come, and so does the object",
  async (by, type, sum) => {
    const how = { "x-amz-checksum-algorithm": by, "x-amz-checksum-type": type };
    const { answer, id } = await begin("whole", how);
    expect(Object.keys(how).map((name) => answer.headers.get(name))).toEqual([by, type]);
    const at = (number: number) => `/sums/whole?partNumber=${number}&uploadId=${id}`;
    const put = await send({ method: "PUT", target: at(1), body: first });
    const copy = await send({ method: "PUT", target: at(2), headers: copied });
    const sums = [put.headers.get(`x-amz-checksum-${by.toLowerCase()}`)!, all(copy.text, `Checksum${by}`)[0]!];
    expect(sums[1]).toBe(ofDigits[by]);
    const parts = (await send({ target: `/sums/whole?uploadId=${id}` })).text;
    const uploads = (await send({ target: "/sums?uploads&prefix=whole" })).text;
    expect(all(parts, `Checksum${by}`)).toEqual(sums);
    for (const list of [parts, uploads])
      expect([all(list, "ChecksumAlgorithm"), all(list, "ChecksumType")]).toEqual([[by], [type]]);
    const named = [first, digits].map((value, i) => {
      const tag = md5Hex(value as string);
      return `<Part><PartNumber>${i + 1}</PartNumber><ETag>${tag}</ETag><Checksum${by}>${sums[i]}</Checksum${by}></Part>`;
    });
    const body = `<CompleteMultipartUpload>${named.join("")}</CompleteMultipartUpload>`;
    const { text } = await send({ method: "POST", target: `/sums/whole?uploadId=${id}`, body });
    const head = await send({ method: "HEAD", target: "/sums/whole", headers: { "x-amz-checksum-mode": "ENABLED" } });
    const told = [head.headers.get(`x-amz-checksum-${by.toLowerCase()}`), head.headers.get("x-amz-checksum-type")];
    expect(told).toEqual([sum ?? expect.any(String), type]);
    expect([all(text, `Checksum${by}`)[0], all(text, "ChecksumType")[0]]).toEqual(told as [string, string]);
    const list = (await send({ target: "/sums?list-type=2&prefix=whole" })).text;
    expect([all(list, "ChecksumAlgorithm"), all(list, "ChecksumType")]).toEqual([[by], [type]]);
  },
);

test.each([
  [{ "x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-type": "FULL_OBJECT" }],
  [{ "x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "COMPOSITE" }],
  [{ "x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "NONE" }],
  [{ "x-amz-checksum-type": "COMPOSITE" }],
])("an upload with %j is not begun", async (headers) => {
  expect(codeIn((await begin("never", headers as Record<string, string>)).answer.text)).toBe("InvalidRequest");
});

test("a client that means to have sent a sum has sent it, or is refused", async () => {
  const put = (headers: Record<string, string>) =>
    send({
      method: "PUT",
      target: "/sums/meant",
      body: digits,
      headers: { "x-amz-sdk-checksum-algorithm": "CRC32", ...headers },
    });
  for (const headers of [{}, { "x-amz-checksum-sha256": ofDigits.SHA256 }])
    expect(codeIn((await put(headers)).text)).toBe("InvalidRequest");
  expect((await send({ target: "/sums/meant" })).status).toBe(404);
  expect((await put({ "x-amz-checksum-crc32": ofDigits.CRC32 })).status).toBe(200);
});

test("an upload does not end by sums of another kind, or another type, than it has", async () => {
  const { id } = await begin("ends", { "x-amz-checksum-algorithm": "CRC32", "x-amz-checksum-type": "FULL_OBJECT" });
  await send({ method: "PUT", target: `/sums/ends?partNumber=1&uploadId=${id}`, body: digits });
  const end = (by: "CRC32" | "SHA256", type: string) => {
    const named = `<PartNumber>1</PartNumber><ETag>${md5Hex(digits)}</ETag><Checksum${by}>${ofDigits[by]}</Checksum${by}>`;
    const body = `<CompleteMultipartUpload><Part>${named}</Part></CompleteMultipartUpload>`;
    const headers = { "x-amz-checksum-type": type };
    return send({ method: "POST", target: `/sums/ends?uploadId=${id}`, body, headers });
  };
  expect(codeIn((await end("SHA256", "FULL_OBJECT")).text)).toBe("InvalidPart");
  for (const type of ["COMPOSITE", "NONE"]) expect(codeIn((await end("CRC32", type)).text)).toBe("InvalidRequest");
  expect((await end("CRC32", "full_object")).status).toBe(200);
});

test("a sum that is not made here is told by the name of those that are", async () => {
  const copy = { method: "PUT", headers: { ...copied, "x-amz-checksum-algorithm": "XXHASH64" } };
  const uploads = { method: "POST", headers: { "x-amz-checksum-algorithm": "SHA512" } };
  const put = { method: "PUT", body: digits, headers: { "x-amz-checksum-sha512": "AAAA" } };
  for (const [asked, query] of [
    [copy, ""],
    [uploads, "?uploads"],
    [put, ""],
  ] as const) {
    const { status, text } = await send({ ...asked, target: `/sums/new-sum${query}` });
    expect([status, codeIn(text), text]).toEqual([
      501,
      "NotImplemented",
      expect.stringContaining("crc32, crc32c, crc64nvme"),
    ]);
  }
});

test("a part with a sum of another kind than its upload's is refused", async () => {
  const { id } = await begin("other", { "x-amz-checksum-algorithm": "SHA256" });
  const target = `/sums/other?partNumber=1&uploadId=${id}`;
  const part = await send({ method: "PUT", target, body: digits, headers: { "x-amz-checksum-crc32": ofDigits.CRC32 } });
  expect(codeIn(part.text)).toBe("InvalidRequest");
  const { text } = await send({ target: `/sums/other?uploadId=${id}&part-number-marker=x` });
  expect(codeIn(text)).toBe("InvalidArgument");
});

test("a copy has the sum of its source, or by what is asked; other metadata leave it", async () => {
  const sumOf = async (key: string) => {
    const { headers } = await send({
      method: "HEAD",
      target: `/sums/${key}`,
      headers: { "x-amz-checksum-mode": "ENABLED" },
    });
    return [...headers].filter(([name]) => /^x-amz-checksum-[cs]/.test(name)).flat();
  };
  const copy = (to: string, from: string, headers: Record<string, string> = {}) =>
    send({ method: "PUT", target: `/sums/${to}`, headers: { "x-amz-copy-source": `/sums/${from}`, ...headers } });
  const headers = { "x-amz-checksum-crc32c": ofDigits.CRC32C };
  await send({ method: "PUT", target: "/sums/source", body: digits, headers });
  expect(all((await copy("copy", "source")).text, "ChecksumCRC32C")).toEqual([ofDigits.CRC32C]);
  expect(await sumOf("copy")).toEqual(["x-amz-checksum-crc32c", ofDigits.CRC32C]);
  await copy("copy", "source", { "x-amz-checksum-algorithm": "SHA256" });
  expect(await sumOf("copy")).toEqual(["x-amz-checksum-sha256", ofDigits.SHA256]);
  const other = { "x-amz-metadata-directive": "REPLACE" };
  await copy("copy", "copy", other);
  expect(await sumOf("copy")).toEqual(["x-amz-checksum-sha256", ofDigits.SHA256]);
  expect((await copy("copy", "copy", { ...other, "x-amz-checksum-algorithm": "CRC32" })).status).toBe(200);
  expect(await sumOf("copy")).toEqual(["x-amz-checksum-crc32", ofDigits.CRC32]);
  expect((await send({ target: "/sums/copy" })).text).toBe(digits);
});

const describe = (key: string, names: string, headers: Record<string, string> = {}) =>
  send({ target: `/sums/${key}?attributes`, headers: { "x-amz-object-attributes": names, ...headers } });

test("an object is described by what is asked for", async () => {
  const { text } = await describe("digits", "ETag, ObjectSize,ObjectParts,StorageClass");
  expect(text).toContain(
    `<ETag>${md5Hex(digits)}</ETag><StorageClass>STANDARD</StorageClass><ObjectSize>9</ObjectSize></GetObj`,
  );
  const parts = (await describe("whole", "ObjectParts,Checksum", { "x-amz-max-parts": "1" })).text;
  expect(["PartsCount", "IsTruncated", "NextPartNumberMarker", "Size"].flatMap((name) => all(parts, name))).toEqual([
    "2",
    "true",
    "1",
    String(first.length),
  ]);
  expect(all(parts, "ChecksumType")).toEqual(["FULL_OBJECT"]);
  const rest = (await describe("whole", "ObjectParts", { "x-amz-part-number-marker": "1" })).text;
  expect([all(rest, "PartNumber"), all(rest, "Size")]).toEqual([["2"], ["9"]]);
  expect(codeIn((await describe("digits", "Wonder")).text)).toBe("InvalidArgument");
  expect(codeIn((await describe("nothing", "ETag")).text)).toBe("NoSuchKey");
});

test("the SHA256 of a body counts, whether its header is among those that are signed or not", async () => {
  const put: Asked = { method: "PUT", target: "/sums/listed", body: digits, unsigned: ["x-amz-content-sha256"] };
  expect((await send(put)).status).toBe(200);
  expect((await send({ ...put, payload: "UNSIGNED-PAYLOAD" })).status).toBe(200);
  const wrong = await send({ ...put, payload: createHash("sha256").update("other").digest("hex") });
  expect([wrong.status, codeIn(wrong.text)]).toEqual([400, "XAmzContentSHA256Mismatch"]);
  const other = await send({ ...put, unsigned: ["x-amz-acl"], headers: { "x-amz-acl": "private" } });
  expect([other.status, codeIn(other.text)]).toEqual([403, "AccessDenied"]);
});
