// Several who write one object, or one part, at once: whoever sends slowly keeps nobody waiting, and the last one to have come
// in stays. Longer bodies take turns.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { s3Limits } from "../../src/s3-limits";
import { comeIn, payloadFrom } from "../../src/api/s3/payload";
import { dial, head } from "../support/http";
import { type S3Cluster, startS3 } from "../support/s3";
import { ask, sign } from "../support/s3-sign";
import { until } from "../support/until";
import { md5Hex } from "../support/values";

setDefaultTimeout(60_000);
let s3: S3Cluster;
beforeAll(async () => {
  s3 = await startS3();
  await ask(s3.port, { method: "PUT", target: "/bucket" });
});
afterAll(() => s3[Symbol.asyncDispose]());

/** Begins a PUT, of which half has been sent when this resolves; `finish` sends the rest, and has the answer. */
async function begin(target: string, body: Buffer, headers: Record<string, string> = {}) {
  const wire = await dial(s3.port);
  const asked = { method: "PUT", target, body, headers };
  const line = head({ ...asked, headers: sign(asked).headers }, { close: false });
  wire.write(Buffer.concat([line, body.subarray(0, body.length / 2)]));
  await wire.drained();
  return {
    async finish() {
      wire.write(body.subarray(body.length / 2));
      return await wire.answer();
    },
    [Symbol.dispose]: () => wire[Symbol.dispose](),
  };
}

const put = (target: string, body: Buffer, headers: Record<string, string> = {}) =>
  ask(s3.port, { method: "PUT", target, body, headers });
const longest = Buffer.alloc(s3Limits.wholeBytes, "1");
const other = Buffer.alloc(1024 * 1024, "2");
const etagOf = (body: Buffer) => `"${md5Hex(body)}"`;

test("a write within a write of the same object is done at once, and the one that ends last stays", async () => {
  await put("/bucket/atomic", Buffer.from("before"));
  using slow = await begin("/bucket/atomic", longest);
  expect((await put("/bucket/atomic", other)).status).toBe(200);
  const read = () => ask(s3.port, { target: "/bucket/atomic" });
  expect((await read()).headers.get("etag")).toBe(etagOf(other));
  expect((await slow.finish()).status).toBe(200);
  expect((await read()).headers.get("etag")).toBe(etagOf(longest));
});

test("a condition is that of the moment at which a body has come in", async () => {
  using slow = await begin("/bucket/first", other, { "if-none-match": "*" });
  expect((await put("/bucket/first", longest, { "if-none-match": "*" })).status).toBe(200);
  expect((await slow.finish()).status).toBe(412);
  expect((await ask(s3.port, { target: "/bucket/first" })).headers.get("etag")).toBe(etagOf(longest));
  using late = await begin("/bucket/first", other, { "if-none-match": "*" });
  expect((await late.finish()).status).toBe(412);
});

test("a part that is sent again while the first try hangs takes its place", async () => {
  const begun = await ask(s3.port, { method: "POST", target: "/bucket/parts?uploads" });
  const id = /<UploadId>(\w+)</.exec(begun.text)![1]!;
  const target = `/bucket/parts?partNumber=1&uploadId=${id}`;
  using hung = await begin(target, longest);
  const again = await put(target, other);
  expect([again.status, again.headers.get("etag")]).toEqual([200, etagOf(other)]);
  hung[Symbol.dispose]();
  const part = `<Part><PartNumber>1</PartNumber><ETag>${etagOf(other)}</ETag></Part>`;
  const body = `<CompleteMultipartUpload>${part}</CompleteMultipartUpload>`;
  expect((await ask(s3.port, { method: "POST", target: `/bucket/parts?uploadId=${id}`, body })).status).toBe(200);
});

test("half a body that ends there counts for nothing, and its room is free again", async () => {
  for (let i = 0; i < 2 * (s3Limits.wholesBytes / s3Limits.wholeBytes); i++) {
    using _broken = await begin("/bucket/broken", longest);
  }
  await until(async () => (await put("/bucket/broken", other)).status === 200, { what: "another one is taken" });
  using slow = await begin("/bucket/broken", longest);
  expect((await put("/bucket/broken", Buffer.from("last"))).status).toBe(200);
  expect((await slow.finish()).status).toBe(200);
});

test("there is room for so many bodies at once: what comes then, and what is longer, is read as it is stored", async () => {
  let more = Promise.withResolvers<void>();
  async function* chunksOf(bytes: number) {
    yield Buffer.alloc(bytes - 1);
    await more.promise;
    yield Buffer.alloc(1);
  }
  const coming = (bytes: number) => comeIn(payloadFrom(chunksOf(bytes), bytes));
  const isAwaited = async (bytes: number) => {
    const one = coming(bytes);
    const isFirst = await Promise.race([one.then(() => false), Bun.sleep(100).then(() => true)]);
    void one.then((body) => body[Symbol.dispose]());
    return isFirst;
  };
  expect(await isAwaited(s3Limits.wholeBytes + 1)).toBe(false);
  const all = Array.from({ length: s3Limits.wholesBytes / s3Limits.wholeBytes }, () => coming(s3Limits.wholeBytes));
  expect(await isAwaited(s3Limits.wholeBytes)).toBe(false);
  more.resolve();
  for (const one of all) {
    using body = await one;
    expect(Buffer.concat(await Array.fromAsync(body.chunks)).length).toBe(s3Limits.wholeBytes);
  }
  more = Promise.withResolvers();
  expect(await isAwaited(s3Limits.wholeBytes)).toBe(true);
  more.resolve();
});
