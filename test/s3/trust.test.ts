// What S3 must never do to what is there: bodies that are longer than they say, copies that have rotted, keys of its own.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { copiesOf } from "../support/copies";
import { request } from "../support/http";
import { type S3Cluster, startS3 } from "../support/s3";
import { type Asked, ask, framed, sign } from "../support/s3-sign";
import { md5Hex, valueOf } from "../support/values";

setDefaultTimeout(90_000);
let s3: S3Cluster;
beforeAll(async () => {
  s3 = await startS3();
  expect((await ask(s3.port, { method: "PUT", target: "/bkt" })).status).toBe(200);
});
afterAll(() => s3[Symbol.asyncDispose]());

const send = (asked: Asked) => ask(s3.port, asked);
const codeIn = (text: string) => /<Code>(\w+)<\/Code>/.exec(text)?.[1];

test("a framed body that is longer than it says is refused before any volume has all that it says", async () => {
  const key = "/bkt/hidden";
  const value = valueOf("hidden", 2_500_000);
  await s3.cluster.store(key, value);
  expect((await s3.cluster.ask("UNLINK", key)).status).toBe(204);
  const before = copiesOf(s3.cluster, key);
  const asked = {
    method: "PUT",
    target: key,
    headers: { "x-amz-decoded-content-length": "2000000" },
    payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
  };
  const { headers, date } = sign(asked);
  const body = framed(valueOf("another", 5_000_000), { date, chunkBytes: 500_000 });
  const answer = await request(s3.port, { method: "PUT", target: key, headers, body });
  expect([answer.status, codeIn(answer.text)]).toEqual([400, "IncompleteBody"]);
  expect(Object.values(before)).toEqual([md5Hex(value), md5Hex(value), md5Hex(value)]);
  expect(copiesOf(s3.cluster, key)).toEqual(before);
  expect(await s3.cluster.keys("unlinked")).toContain(key);
});

test("the keys of parts are nobody's to change, however the query is written", async () => {
  for (const query of ["", "?replace", "?replace=", "?replace=1", "?%72eplace"]) {
    const { status } = await s3.cluster.ask("PUT", `/mkv:uploads/x${query}`, { body: "x" });
    expect([query, status]).toEqual([query, 403]);
  }
  for (const method of ["DELETE", "UNLINK"])
    expect((await s3.cluster.ask(method, "/mkv:uploads/x?x")).status).toBe(403);
  const headers = { "x-amz-copy-source": "mkv:uploads/x" };
  const copied = await send({ method: "PUT", target: "/bkt/no", headers });
  expect([copied.status, codeIn(copied.text)]).toEqual([403, "AccessDenied"]);
});
