// Uploads in parts: in any order, again, at once, across a restart; nothing is left of one that is over.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type S3Cluster, codeIn, startS3 } from "../support/s3";
import { type Asked, ask } from "../support/s3-sign";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";

setDefaultTimeout(90_000);
let s3: S3Cluster;
beforeAll(async () => {
  s3 = await startS3();
  await ask(s3.port, { method: "PUT", target: "/parts" });
});
afterAll(() => s3[Symbol.asyncDispose]());

const MIB = 1024 * 1024;
const [first, second, last] = [valueOf("first", 5 * MIB), valueOf("second", 5 * MIB + 1), valueOf("last", 1_000)];
const send = (asked: Asked) => ask(s3.port, asked);

async function begin(key: string, headers: Record<string, string> = {}): Promise<string> {
  const { text } = await send({ method: "POST", target: `/parts/${key}?uploads`, headers });
  return /<UploadId>([^<]+)</.exec(text)![1]!;
}

const part = (key: string, id: string, number: number, body: Uint8Array, headers: Record<string, string> = {}) =>
  send({ method: "PUT", target: `/parts/${key}?partNumber=${number}&uploadId=${id}`, body, headers });

const complete = (
  key: string,
  id: string,
  parts: [number: number, value: Uint8Array][],
  headers: Record<string, string> = {},
) => {
  const named = parts.map(
    ([number, value]) => `<Part><PartNumber>${number}</PartNumber><ETag>"${md5Hex(value)}"</ETag></Part>`,
  );
  const body = `<CompleteMultipartUpload>${named.join("")}</CompleteMultipartUpload>`;
  return send({ method: "POST", target: `/parts/${key}?uploadId=${id}`, body, headers });
};

/** The ETag of an object of these parts. */
function etagOf(...values: Uint8Array[]): string {
  return `${md5Hex(Buffer.concat(values.map((value) => Buffer.from(md5Hex(value), "hex"))))}-${values.length}`;
}

/** Nothing of an upload is left on any volume, once all is settled. */
async function expectNoParts(): Promise<void> {
  const names = Buffer.from("/mkv:uploads/").toString("base64").slice(0, 16);
  const clean = () => s3.cluster.remains().every((file) => !file.includes(names));
  await until(clean, { what: "no part is left", deadlineMs: 20_000 });
}

test("parts in any order, one of them again, some at once, become the object; then nothing else is left", async () => {
  const id = await begin("big", { "content-type": "text/x", "x-amz-meta-a": "1" });
  expect((await part("big", id, 9, last)).status).toBe(200);
  await Promise.all([part("big", id, 2, last), part("big", id, 5, second)]);
  const again = await part("big", id, 2, first);
  expect(again.headers.get("etag")).toBe(`"${md5Hex(first)}"`);
  expect((await send({ target: "/parts/big" })).status).toBe(404);
  const listed = await send({ target: `/parts/big?uploadId=${id}&max-parts=2` });
  expect([...listed.text.matchAll(/<PartNumber>(\d+)</g)].map((match) => match[1])).toEqual(["2", "5"]);
  expect(listed.text).toContain("<IsTruncated>true");
  const none = await send({ target: `/parts/big?uploadId=${id}&max-parts=0` });
  expect(none.text).toContain("<IsTruncated>false"); // There is no next page: it would begin where this one did.
  expect((await send({ target: "/parts?uploads" })).text).toContain(`<UploadId>${id}<`);
  const done = await complete("big", id, [
    [2, first],
    [5, second],
    [9, last],
  ]);
  expect([done.status, done.text]).toEqual([200, expect.stringContaining(etagOf(first, second, last))]);
  const read = await send({ target: "/parts/big" });
  expect(read.body.equals(Buffer.concat([first, second, last]))).toBe(true);
  const told = ["etag", "content-type", "x-amz-meta-a"].map((name) => read.headers.get(name));
  expect(told).toEqual([`"${etagOf(first, second, last)}"`, "text/x", "1"]);
  const repeated = await complete("big", id, [
    [2, first],
    [5, second],
    [9, last],
  ]);
  expect([repeated.status, repeated.text]).toEqual([200, expect.stringContaining(etagOf(first, second, last))]);
  await expectNoParts();
  expect(await s3.cluster.keys("list")).toEqual(["/parts/big"]);
  expect((await send({ method: "DELETE", target: "/parts/big" })).status).toBe(204);
});

test("a refused end leaves the upload as it was", async () => {
  const id = await begin("refused");
  await part("refused", id, 1, last);
  await part("refused", id, 2, first);
  const ends: [parts: [number, Uint8Array][], code: string][] = [
    [[], "MalformedXML"],
    [[[1, first]], "InvalidPart"],
    [[[3, first]], "InvalidPart"],
    [
      [
        [2, first],
        [1, last],
      ],
      "InvalidPartOrder",
    ],
    [
      [
        [1, last],
        [2, first],
      ],
      "EntityTooSmall",
    ],
  ];
  for (const [parts, code] of ends) expect(codeIn((await complete("refused", id, parts)).text)).toBe(code);
  expect(codeIn((await part("refused", id, 10_001, last)).text)).toBe("InvalidArgument");
  expect(codeIn((await part("another", id, 1, last)).text)).toBe("NoSuchUpload");
  expect((await complete("refused", id, [[2, first]], { "if-match": "x" })).status).toBe(404);
  expect((await complete("refused", id, [[2, first]])).status).toBe(200);
  expect((await send({ target: "/parts/refused" })).headers.get("etag")).toBe(`"${etagOf(first)}"`);
  await expectNoParts();
});

test("an upload that is aborted is over, and nothing of it is left; parts that come late are not kept", async () => {
  const id = await begin("aborted");
  await Promise.all([1, 2, 3].map((number) => part("aborted", id, number, last)));
  const late = Promise.all([4, 5, 6].map((number) => part("aborted", id, number, first)));
  const abort = () => send({ method: "DELETE", target: `/parts/aborted?uploadId=${id}` });
  expect((await abort()).status).toBe(204);
  for (const { status } of await late) expect(status).toBeOneOf([200, 404]);
  expect((await abort()).status).toBe(404);
  expect((await part("aborted", id, 7, last)).status).toBe(404);
  await expectNoParts();
});

test("an upload goes on after a restart; a part may be a copy of a part of an object", async () => {
  await send({ method: "PUT", target: "/parts/source", body: Buffer.concat([first, last]) });
  const id = await begin("resumed");
  const range = { "x-amz-copy-source": "parts/source", "x-amz-copy-source-range": `bytes=0-${5 * MIB - 1}` };
  const target = `/parts/resumed?partNumber=1&uploadId=${id}`;
  const copied = await send({ method: "PUT", target, headers: range });
  expect([copied.status, copied.text]).toEqual([200, expect.stringContaining(md5Hex(first))]);
  const beyond = { ...range, "x-amz-copy-source-range": `bytes=0-${6 * MIB}` };
  expect((await send({ method: "PUT", target, headers: beyond })).status).toBe(400);
  await s3.cluster.master.kill();
  await s3.cluster.startMaster();
  const added = async () => (await part("resumed", id, 2, last).catch(() => undefined))?.status === 200;
  await until(added, { what: "the second part is taken", deadlineMs: 20_000 });
  expect(
    (
      await complete("resumed", id, [
        [1, first],
        [2, last],
      ])
    ).status,
  ).toBe(200);
  expect(md5Hex((await send({ target: "/parts/resumed" })).body)).toBe(md5Hex(Buffer.concat([first, last])));
  await expectNoParts();
});

test("sums of parts become the sum of the object, and are asked for", async () => {
  const sum = (value: Uint8Array) => new Bun.CryptoHasher("sha256").update(value).digest("base64");
  const id = await begin("summed", { "x-amz-checksum-algorithm": "SHA256" });
  for (const [number, value] of [
    [1, first],
    [2, last],
  ] as const)
    expect((await part("summed", id, number, value, { "x-amz-checksum-sha256": sum(value) })).status).toBe(200);
  expect(
    (
      await complete("summed", id, [
        [1, first],
        [2, last],
      ])
    ).status,
  ).toBe(400);
  const named = [first, last].map(
    (value, i) =>
      `<Part><PartNumber>${i + 1}</PartNumber><ETag>${md5Hex(value)}</ETag><ChecksumSHA256>${sum(value)}</ChecksumSHA256></Part>`,
  );
  const body = `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${named.join("")}</CompleteMultipartUpload>`;
  expect((await send({ method: "POST", target: `/parts/summed?uploadId=${id}`, body })).status).toBe(200);
  const joined = Buffer.concat([first, last].map((value) => Buffer.from(sum(value), "base64")));
  const read = await send({ method: "HEAD", target: "/parts/summed", headers: { "x-amz-checksum-mode": "ENABLED" } });
  expect(read.headers.get("x-amz-checksum-sha256")).toBe(`${sum(joined)}-2`);
});

test("uploads are listed once each, whatever the length of a page; a delimiter folds what begins alike", async () => {
  await send({ method: "PUT", target: "/begun" });
  for (const key of ["c", "d/a", "d/%F0%9F%98%80", "e", "%C3%BC/1", "e"])
    await send({ method: "POST", target: `/begun/${key}?uploads` });
  for (const most of [1, 2, 1000]) {
    const found: string[] = [];
    for (let more = ""; ;) {
      const { text } = await send({ target: `/begun?uploads&delimiter=%2F&max-uploads=${most}${more}` });
      found.push(...[...text.matchAll(/<(?:Key|CommonPrefixes><Prefix)>([^<]+)</g)].map((match) => match[1]!));
      if (!text.includes("<IsTruncated>true")) break;
      const next = (name: string) => new RegExp(`<Next${name}>([^<]+)<`).exec(text)?.[1] ?? "";
      more = `&key-marker=${encodeURIComponent(next("KeyMarker"))}&upload-id-marker=${next("UploadIdMarker")}`;
    }
    expect(found.sort()).toEqual(["c", "d/", "e", "e", "ü/"]);
  }
  for (const query of ["prefix=e&key-marker=b", "delimiter=%2F&key-marker=d/a"]) {
    // Before the prefix, and within a fold.
    const { text } = await send({ target: `/begun?uploads&${query}` });
    expect([...text.matchAll(/<Key>([^<]+)</g)].map((match) => match[1])).toEqual(["e", "e"]);
    expect(text).not.toContain("<Prefix>d/<");
  }
});

/** What a read of a part says of itself. */
async function partOf(key: string, number: number | string, { method = "GET", headers = {} } = {}) {
  const answer = await send({ method, target: `/parts/${key}?partNumber=${number}`, headers });
  const [range, count] = ["content-range", "x-amz-mp-parts-count"].map((name) => answer.headers.get(name));
  return { ...answer, about: [answer.status, range, count] };
}

test("an object of parts is read by their numbers, in their order, until it is another object", async () => {
  const id = await begin("numbered");
  const named: [number, Uint8Array][] = [first, first, last].map((value, i) => [10 * i + 1, value]);
  await Promise.all(named.map(([number, value]) => part("numbered", id, number, value)));
  expect((await complete("numbered", id, named)).status).toBe(200);
  const all = 2 * first.length + last.length;
  let from = 0;
  for (const [i, [, value]] of named.entries()) {
    const about = [206, `bytes ${from}-${(from += value.length) - 1}/${all}`, "3"];
    const read = await partOf("numbered", i + 1);
    expect([read.about, md5Hex(read.body)]).toEqual([about, md5Hex(value)]);
    const head = await partOf("numbered", i + 1, { method: "HEAD" });
    expect([head.about, head.headers.get("content-length")]).toEqual([about, String(value.length)]);
  }
  expect(codeIn((await partOf("numbered", 4)).text)).toBe("InvalidPartNumber");
  expect((await partOf("numbered", 4, { method: "HEAD" })).status).toBe(416);
  const etag = `"${etagOf(first, first, last)}"`;
  expect((await partOf("numbered", 1, { headers: { "if-none-match": etag } })).status).toBe(304);
  const copy = (target: string, headers: Record<string, string> = {}) =>
    send({ method: "PUT", target, headers: { "x-amz-copy-source": "parts/numbered", ...headers } });
  expect((await copy("/parts/numbered", { "x-amz-metadata-directive": "REPLACE" })).status).toBe(200);
  expect((await partOf("numbered", 3, { method: "HEAD" })).about).toEqual([206, expect.anything(), "3"]);
  expect((await copy("/parts/whole")).status).toBe(200);
  expect((await partOf("whole", 1, { method: "HEAD" })).about).toEqual([206, `bytes 0-${all - 1}/${all}`, null]);
});

test("an object that was put at once is its only part", async () => {
  await send({ method: "PUT", target: "/parts/once", body: "once" });
  const read = await partOf("once", 1);
  expect([read.about, read.text]).toEqual([[206, "bytes 0-3/4", null], "once"]);
  expect(codeIn((await partOf("once", 2)).text)).toBe("InvalidPartNumber");
  for (const number of [0, 10_001, "x", ""])
    expect(codeIn((await partOf("once", number)).text)).toBe("InvalidArgument");
  expect(codeIn((await partOf("once", 1, { headers: { range: "bytes=0-1" } })).text)).toBe("InvalidRequest");
  await send({ method: "PUT", target: "/parts/nothing", body: "" });
  expect((await partOf("nothing", 1)).about).toEqual([200, null, null]);
});
