// What S3 must never do to what is there: bodies that are longer than they say, copies that have rotted, keys of its own.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { copiesOf } from "../support/copies";
import { request } from "../support/http";
import { pathOf } from "../support/placement";
import { type S3Cluster, codeIn, startS3 } from "../support/s3";
import { type Asked, ask, framed, presign, sign } from "../support/s3-sign";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";

setDefaultTimeout(90_000);
let s3: S3Cluster;
beforeAll(async () => {
  s3 = await startS3({ flags: ["-heal", "20"] });
  expect((await ask(s3.port, { method: "PUT", target: "/bkt" })).status).toBe(200);
});
afterAll(() => s3[Symbol.asyncDispose]());

const send = (asked: Asked) => ask(s3.port, asked);

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
  const body = framed(valueOf("another", 2_600_000), { date, chunkBytes: 500_000 });
  const answer = await request(s3.port, { method: "PUT", target: key, headers, body });
  expect([answer.status, codeIn(answer.text)]).toEqual([400, "IncompleteBody"]);
  expect(Object.values(before)).toEqual([md5Hex(value), md5Hex(value), md5Hex(value)]);
  expect(copiesOf(s3.cluster, key)).toEqual(before);
  expect(await s3.cluster.keys("unlinked")).toContain(key);
});

test("a value that is unlinked is none of S3's to delete", async () => {
  const key = "/bkt/unlinked";
  await s3.cluster.store(key, "kept");
  expect((await s3.cluster.ask("UNLINK", key)).status).toBe(204);
  const body = "<Delete><Object><Key>unlinked</Key></Object></Delete>";
  expect((await send({ method: "DELETE", target: key })).status).toBe(204);
  expect((await send({ method: "POST", target: "/bkt?delete", body })).text).toContain("<Deleted>");
  expect((await send({ method: "DELETE", target: key, headers: { "if-match": "*" } })).status).toBe(404);
  await send({ method: "DELETE", target: key, headers: { "if-none-match": "*" } });
  expect(await s3.cluster.keys("unlinked")).toContain(key);
  expect(Object.values(copiesOf(s3.cluster, key))).toEqual(Array(3).fill(md5Hex("kept")));
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

test("a link to an object is of no use for what its name begins, however its slashes are written", async () => {
  for (const target of ["/bkt/open", "/bkt/open/secret"])
    expect((await send({ method: "PUT", target, body: target })).status).toBe(200);
  const use = (link: string, method = "GET") =>
    request(s3.port, { method, target: link.replace("/bkt/open", "/bkt%2Fopen") });
  const read = await use(presign({ target: "/bkt/open" }));
  expect([read.status, read.text]).toEqual([200, "/bkt/open"]);
  expect((await use(presign({ method: "DELETE", target: "/bkt/open" }), "DELETE")).status).toBe(204);
  expect((await send({ target: "/bkt/open" })).status).toBe(404);
  expect((await send({ target: "/bkt/open/secret" })).status).toBe(200);
});

/** Another byte, at another place each, in these copies, whose times stay: they do not agree with each other. */
function rot(path: string, count: number): void {
  for (const [i, { file }] of s3.cluster.filesOf(path).slice(0, count).entries()) {
    const { atime, mtime } = statSync(file);
    const bytes = readFileSync(file);
    bytes[1_000 + i]! ^= 0xff;
    writeFileSync(file, bytes);
    utimesSync(file, atime, mtime);
  }
}

test("an object of parts, and a copy, are made of good copies, and those that have rotted are healed", async () => {
  const value = valueOf("copied", 5 * 1024 * 1024);
  await send({ method: "PUT", target: "/bkt/source", body: value });
  rot(pathOf("/bkt/source"), 2);
  const copied = await send({ method: "PUT", target: "/bkt/copy", headers: { "x-amz-copy-source": "bkt/source" } });
  expect([copied.status, copied.text]).toEqual([200, expect.stringContaining(md5Hex(value))]);

  const { text } = await send({ method: "POST", target: "/bkt/parts?uploads" });
  const id = /<UploadId>([^<]+)</.exec(text)![1]!;
  const named: string[] = [];
  for (const number of [1, 2]) {
    await send({ method: "PUT", target: `/bkt/parts?partNumber=${number}&uploadId=${id}`, body: value });
    rot(pathOf(`/mkv:uploads/${id}/0000${number}`), 2);
    named.push(`<Part><PartNumber>${number}</PartNumber><ETag>${md5Hex(value)}</ETag></Part>`);
  }
  const body = `<CompleteMultipartUpload>${named.join("")}</CompleteMultipartUpload>`;
  const done = await send({ method: "POST", target: `/bkt/parts?uploadId=${id}`, body });
  expect([done.status, codeIn(done.text)]).toEqual([200, undefined]);
  const whole = await send({ target: "/bkt/parts" });
  expect(md5Hex(whole.body)).toBe(md5Hex(Buffer.concat([value, value])));

  const isHealed = async () => {
    await send({ method: "PUT", target: "/bkt/copy", headers: { "x-amz-copy-source": "bkt/source" } });
    return Object.values(copiesOf(s3.cluster, "/bkt/source")).every((md5) => md5 === md5Hex(value));
  };
  await until(isHealed, { what: "the copies that a copy found damaged are good again", deadlineMs: 40_000 });
});

test("a part of which the length is lost, with what lies beside the records, is uploaded again", async () => {
  const begun = await send({ method: "POST", target: "/bkt/again?uploads" });
  const id = /<UploadId>([^<]+)</.exec(begun.text)![1]!;
  const upload = () => send({ method: "PUT", target: `/bkt/again?partNumber=1&uploadId=${id}`, body: "part" });
  const part = `<Part><PartNumber>1</PartNumber><ETag>${md5Hex("part")}</ETag></Part>`;
  const body = `<CompleteMultipartUpload>${part}</CompleteMultipartUpload>`;
  const complete = () => send({ method: "POST", target: `/bkt/again?uploadId=${id}`, body });
  await upload();
  await s3.cluster.master.stop();
  const { db } = s3.cluster;
  rmSync(join(dirname(db), `.${basename(db)}.facts`), { recursive: true });
  await s3.cluster.startMaster();
  const refused = await complete();
  expect([refused.status, codeIn(refused.text)]).toEqual([400, "InvalidPart"]);
  await upload();
  expect((await complete()).status).toBe(200);
});
