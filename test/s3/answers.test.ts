// What an answer says beside its status and code: the headers and elements that clients read, as those of AWS have them.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type S3Cluster, startS3 } from "../support/s3";
import { type Asked, ask } from "../support/s3-sign";
import { md5Hex } from "../support/values";

setDefaultTimeout(60_000);
let s3: S3Cluster;
beforeAll(async () => {
  s3 = await startS3();
  await send({ method: "PUT", target: "/told" });
});
afterAll(() => s3[Symbol.asyncDispose]());

const send = (asked: Asked) => ask(s3.port, asked);
const put = (key: string, body: string, headers: Record<string, string> = {}) =>
  send({ method: "PUT", target: `/told/${key}`, body, headers });
/** The texts of these elements; undefined for one that is not there. */
const texts = (text: string, ...names: string[]) =>
  names.map((name) => new RegExp(`<${name}>([^<]*)</${name}>`).exec(text)?.[1]);

test("the condition that a copy fails by is named, and the first one that does not hold", async () => {
  await put("source", "source");
  const etag = `"${md5Hex("source")}"`;
  const modified = (await send({ target: "/told/source" })).headers.get("last-modified")!;
  const past = new Date(0).toUTCString();
  const conditions: [name: string, value: string][] = [
    ["If-Match", '"other"'],
    ["If-Unmodified-Since", past],
    ["If-None-Match", etag],
    ["If-Modified-Since", modified],
  ];
  for (const [i, [name]] of conditions.entries()) {
    const rest = conditions.slice(i).map(([name, value]) => [`x-amz-copy-source-${name.toLowerCase()}`, value]);
    const { status, text } = await put("copy", "", { "x-amz-copy-source": "told/source", ...Object.fromEntries(rest) });
    expect([status, ...texts(text, "Code", "Condition")]).toEqual([
      412,
      "PreconditionFailed",
      `x-amz-copy-source-${name}`,
    ]);
  }
});

test("a date that is to come says nothing, but that of an object that is written often", async () => {
  for (let i = 0; i < 8; i++) await put("often", String(i));
  const ask = async (since: string) => {
    const { status } = await send({ target: "/told/often", headers: { "if-modified-since": since } });
    const headers = { "x-amz-copy-source": "told/often", "x-amz-copy-source-if-modified-since": since };
    return [status, (await put("copy", "", headers)).status];
  };
  const modified = (await send({ target: "/told/often" })).headers.get("last-modified")!;
  expect(Date.parse(modified)).toBeGreaterThan(Date.now());
  expect(await ask(modified)).toEqual([304, 412]);
  expect(await ask(new Date(Date.now() + 3_600_000).toUTCString())).toEqual([200, 200]);
});

test("an answer that has all bytes of an object tells its sum, whatever it was asked for", async () => {
  await put("sum", "123456789", { "x-amz-checksum-crc32": "y/Q5Jg==" });
  const ask = async (query: string, range = "") => {
    const headers = { "x-amz-checksum-mode": "ENABLED", ...(range && { range }) };
    const { status, headers: found } = await send({ target: `/told/sum${query}`, headers });
    return [status, found.get("x-amz-checksum-crc32"), found.get("x-amz-checksum-type")];
  };
  expect(await ask("", "bytes=0-8")).toEqual([206, "y/Q5Jg==", "FULL_OBJECT"]);
  expect(await ask("", "bytes=-99")).toEqual([206, "y/Q5Jg==", "FULL_OBJECT"]);
  expect(await ask("?partNumber=1")).toEqual([206, "y/Q5Jg==", "FULL_OBJECT"]);
  expect(await ask("", "bytes=0-7")).toEqual([206, null, null]);
});

/** The target of an upload that was begun. */
async function begin(key: string, headers: Record<string, string> = {}): Promise<string> {
  const { text } = await send({ method: "POST", target: `/told/${key}?uploads`, headers });
  return `/told/${key}?uploadId=${texts(text, "UploadId")[0]}`;
}

test("a sum of the sums of parts is told with their number, but where an object is described", async () => {
  const target = await begin("parts", { "x-amz-checksum-algorithm": "CRC32" });
  const part = await send({ method: "PUT", target: `${target}&partNumber=1`, body: "123456789" });
  const [etag, sum] = ["etag", "x-amz-checksum-crc32"].map((name) => part.headers.get(name));
  const named = `<Part><PartNumber>1</PartNumber><ETag>${etag}</ETag><ChecksumCRC32>${sum}</ChecksumCRC32></Part>`;
  const body = `<CompleteMultipartUpload>${named}</CompleteMultipartUpload>`;
  const ended = await send({ method: "POST", target, body });
  const composite = texts(ended.text, "ChecksumCRC32")[0]!;
  expect(composite).toEndWith("-1");
  const describe = { "x-amz-object-attributes": "Checksum" };
  const { text } = await send({ target: "/told/parts?attributes", headers: describe });
  expect(texts(text, "ChecksumCRC32", "ChecksumType")).toEqual([composite.slice(0, -2), "COMPOSITE"]);
  const read = await send({ target: "/told/parts?partNumber=1", headers: { "x-amz-checksum-mode": "ENABLED" } });
  expect([read.status, read.headers.get("x-amz-checksum-crc32")]).toEqual([206, null]);
});

test("a range that is not within the source of a part, and a list of parts that is not there, are refused with 400", async () => {
  await put("ten", "0123456789");
  const target = await begin("refused");
  const copy = async (range: string) => {
    const headers = { "x-amz-copy-source": "told/ten", "x-amz-copy-source-range": range };
    const { status, text } = await send({ method: "PUT", target: `${target}&partNumber=1`, headers });
    return [status, ...texts(text, "Code")];
  };
  expect(await copy("bytes=0-9")).toEqual([200, undefined]);
  for (const range of ["bytes=0-10", "bytes=9-8", "bytes=9-", "bytes=-9"])
    expect(await copy(range)).toEqual([400, "InvalidArgument"]);
  expect(await copy("bytes=10-10")).toEqual([400, "InvalidRequest"]);
  for (const [body, code] of [
    ["", "InvalidRequest"],
    ["<CompleteMultipartUpload/>", "MalformedXML"],
  ] as const)
    expect(texts((await send({ method: "POST", target, body })).text, "Code")).toEqual([code]);
});

/** A request that is refused, and the elements that say why. */
const refused: readonly (Partial<Asked> & { readonly says: Readonly<Record<string, string>> })[] = [
  ...["max-keys=-1", "max-keys=9e9", "encoding-type=xml", "list-type=2&continuation-token=other"].map((query) => {
    const [name = "", value = ""] = query.replace("list-type=2&", "").split("=");
    return { target: `?${query}`, says: argument(name, value) };
  }),
  { target: "?start-after=a", says: argument("start-after", "a") },
  { target: "/none?uploadId=none&part-number-marker=x", says: argument("part-number-marker", "x") },
  { target: "/ten?partNumber=x", says: argument("partNumber", "x") },
  { target: "/ten?partNumber=2", says: { Code: "InvalidPartNumber", ActualPartCount: "1", PartNumberRequested: "2" } },
  { target: "/none?uploadId=none", says: { Code: "NoSuchUpload", UploadId: "none" } },
  { target: "?policy", says: { Code: "NoSuchBucketPolicy", BucketName: "told" } },
  ...[
    ["x-amz-object-attributes", "Name", "?attributes", "GET"],
    ["x-amz-copy-source", "told", "", "PUT"],
    ["x-amz-content-sha256", "none", "", "PUT"],
  ].map(([name = "", value = "", query, method]) => ({
    ...{ method, target: `/ten${query}`, headers: { [name]: value } },
    ...(name === "x-amz-content-sha256" && { payload: value }),
    says: argument(name, value),
  })),
  {
    ...{ method: "PUT", target: "/ten" },
    headers: { "x-amz-copy-source": "told/ten", "x-amz-metadata-directive": "MOVE" },
    says: argument("x-amz-metadata-directive", "MOVE"),
  },
  {
    ...{ method: "PUT", target: "/ten", headers: { "content-md5": "!" } },
    says: { Code: "InvalidDigest", "Content-MD5": "!" },
  },
  {
    ...{ method: "PUT", target: "/ten", headers: { "x-amz-storage-class": "GLACIER" } },
    says: { Code: "InvalidStorageClass", StorageClassRequested: "GLACIER" },
  },
  {
    ...{ method: "PUT", target: "/none", body: "body", headers: { "if-match": '"tag"' } },
    says: { Code: "NoSuchKey", Key: "none" },
  },
  { accessKey: "nobody", target: "/ten", says: { Code: "InvalidAccessKeyId", AWSAccessKeyId: "nobody" } },
];

function argument(name: string, value: string) {
  return { Code: "InvalidArgument", ArgumentName: name, ArgumentValue: value };
}

test.each(refused)("a failure names what it is about: $target $says.Code", async ({ says, ...asked }) => {
  await put("ten", "0123456789");
  const { text } = await send({ ...asked, target: `/told${asked.target}` });
  expect(texts(text, ...Object.keys(says))).toEqual(Object.values(says));
});

test("a list repeats what its page begins after", async () => {
  const markers = async (query: string) => {
    const { text } = await send({ target: `/told?versions${query}` });
    return texts(text, "KeyMarker", "VersionIdMarker");
  };
  expect(await markers("")).toEqual(["", ""]);
  expect(await markers("&key-marker=a&version-id-marker=null")).toEqual(["a", "null"]);
});

test("an upload that cannot be completed names the part that is wrong", async () => {
  const target = await begin("parted");
  const id = target.replace(/.*=/, "");
  for (const number of [1, 2]) await send({ method: "PUT", target: `${target}&partNumber=${number}`, body: "data" });
  const ETag = md5Hex("data");
  const complete = async (numbers: readonly number[], tag: string, names: readonly string[]) => {
    const parts = numbers.map((number) => `<Part><PartNumber>${number}</PartNumber><ETag>"${tag}"</ETag></Part>`);
    const body = `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`;
    return texts((await send({ method: "POST", target, body })).text, "Code", ...names);
  };
  const about = ["PartNumber", "ETag", "UploadId"];
  expect(await complete([1], "other", about)).toEqual(["InvalidPart", "1", "other", id]);
  expect(await complete([3], ETag, about)).toEqual(["InvalidPart", "3", ETag, id]);
  expect(await complete([2, 1], ETag, ["UploadId"])).toEqual(["InvalidPartOrder", id]);
  const sizes = ["ProposedSize", "MinSizeAllowed"];
  expect(await complete([1, 2], ETag, [...about, ...sizes])).toEqual(["EntityTooSmall", "1", ETag, id, "4", "5242880"]);
});

test("a refusal names what would not be done", async () => {
  const asked = { method: "PUT", target: "/told/no", body: "x", headers: { "x-amz-acl": "public-read" } };
  expect((await send(asked)).text).toContain("<Message>x-amz-acl: public-read is not supported</Message>");
});
