// The examples that AWS publishes of Signature Version 4 and of bodies in signed chunks.
import { expect, test } from "bun:test";
import { newChecksum } from "../../src/api/s3/checksums";
import { type Trailers, framingOf, unframed } from "../../src/api/s3/chunked";
import { readRequest } from "../../src/api/s3/request";
import { Keys, verify } from "../../src/api/s3/signature";

const keys = new Keys(new Map([["AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"]]));
const credential = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request";
const nowMs = Date.UTC(2013, 4, 24);

function asked(method: string, url: string, headers: Record<string, string>) {
  const fields = { "x-amz-date": "20130524T000000Z", ...headers };
  return readRequest({ method, url, headers: new Headers(fields), body: null, signal: new AbortController().signal });
}

function authorization(names: string, signature: string): string {
  return `AWS4-HMAC-SHA256 Credential=${credential},SignedHeaders=${names},Signature=${signature}`;
}

test("a GET with a range is the one that AWS signs", () => {
  const names = "host;range;x-amz-content-sha256;x-amz-date";
  const headers = {
    host: "examplebucket.s3.amazonaws.com",
    range: "bytes=0-9",
    "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    authorization: authorization(names, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
  };
  expect(verify(asked("GET", "/test.txt", headers), keys, nowMs).accessKey).toBe("AKIAIOSFODNN7EXAMPLE");
  expect(() => verify(asked("GET", "/test.txt2", headers), keys, nowMs)).toThrow("does not fit");
});

test("a presigned GET is the one that AWS signs", () => {
  const query =
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
    "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host" +
    "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
  const link = readRequest({
    method: "GET",
    url: `/test.txt?${query}`,
    headers: new Headers({ host: "examplebucket.s3.amazonaws.com" }),
    body: null,
    signal: new AbortController().signal,
  });
  expect(verify(link, keys, nowMs + 86_000_000).payload).toBe("UNSIGNED-PAYLOAD");
  expect(() => verify(link, keys, nowMs + 86_500_000)).toThrow("expired");
});

const data = Buffer.alloc(66_560, "a");
const put = {
  host: "s3.amazonaws.com",
  "content-encoding": "aws-chunked",
  "x-amz-decoded-content-length": "66560",
  "x-amz-storage-class": "REDUCED_REDUNDANCY",
};
const chunked = {
  payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
  headers: { ...put, "content-length": "66824" },
  signature: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
  chunks: [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
  ],
  end: "",
};
const withTrailer = {
  payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
  headers: { ...put, "x-amz-trailer": "x-amz-checksum-crc32c" },
  signature: "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
  chunks: [
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
  ],
  end: "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n",
};

test.each([chunked, withTrailer])(
  "the chunks of $payload are those that AWS signs, however they are cut",
  async (vector) => {
    const fields = { ...vector.headers, "x-amz-content-sha256": vector.payload };
    const names = [...Object.keys(fields), "x-amz-date"].sort().join(";");
    const headers = { ...fields, authorization: authorization(names, vector.signature) };
    const signed = verify(asked("PUT", "/examplebucket/chunkObject.txt", headers), keys, nowMs);
    const [first, second, last] = vector.chunks;
    const head = (size: string, sum: string) => Buffer.from(`${size};chunk-signature=${sum}\r\n`);
    const body = Buffer.concat([
      ...[head("10000", first!), data.subarray(0, 65_536), Buffer.from("\r\n")],
      ...[head("400", second!), data.subarray(65_536), Buffer.from("\r\n")],
      ...[head("0", last!), Buffer.from(`${vector.end}\r\n`)],
    ]);
    const read = async (bytes: Buffer, pieceBytes: number) => {
      const trailers: Trailers = new Map();
      async function* pieces() {
        for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
      }
      const plain: Uint8Array[] = [];
      for await (const piece of unframed(pieces(), framingOf(signed)!, trailers)) plain.push(piece);
      return Buffer.concat(plain);
    };
    for (const pieceBytes of [7, 8_192, 100_000]) expect((await read(body, pieceBytes)).equals(data)).toBe(true);
    for (const spoilt of [body.subarray(0, -2), body.subarray(0, 65_000), Buffer.concat([body, Buffer.from("x")])])
      await expect(read(spoilt, 8_192)).rejects.toThrow("framed");
    const changed = Buffer.from(body);
    changed[70_000 - 4_000] = 0x62;
    await expect(read(changed, 8_192)).rejects.toThrow("does not fit");
  },
);

test.each([
  ["crc32", "cbf43926"],
  ["crc32c", "e3069283"],
  ["crc64nvme", "ae8b14860a799888"],
  ["sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"],
  ["sha256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"],
] as const)("the %s of 123456789 is %s, in one piece or two", async (algorithm, hex) => {
  for (const pieces of [["123456789"], ["1234", "56789"]]) {
    const sum = await newChecksum(algorithm);
    for (const piece of pieces) sum.update(Buffer.from(piece));
    expect(Buffer.from(sum.digest()).toString("hex")).toBe(hex);
  }
});
