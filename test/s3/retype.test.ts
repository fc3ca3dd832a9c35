// An object that is copied onto itself with REPLACE: what is said of it changes, and what is so by its bytes is that of now.
import { expect, setDefaultTimeout, test } from "bun:test";
import { temporaryFolder } from "../support/folder";
import { startGatedCluster } from "../support/gated";
import { s3Flags, startS3 } from "../support/s3";
import { ask } from "../support/s3-sign";
import { md5Hex } from "../support/values";

setDefaultTimeout(60_000);

/** Says of an object that it is this kind of text. */
const retype = (port: number, key: string, type: string) => {
  const headers = { "x-amz-copy-source": key.slice(1), "x-amz-metadata-directive": "REPLACE", "content-type": type };
  return ask(port, { method: "PUT", target: key, headers });
};

test("an object without MD5 is stored anew, and has what is said of it", async () => {
  await using s3 = await startS3();
  const { cluster, port } = s3;
  await cluster.startMaster(["-md5sum=false"]);
  await cluster.store("/bkt/native", "bytes");
  await cluster.startMaster();
  const { status, text } = await retype(port, "/bkt/native", "text/x");
  expect([status, text]).toEqual([200, expect.stringContaining(md5Hex("bytes"))]);
  const read = await ask(port, { target: "/bkt/native" });
  const told = ["content-type", "etag"].map((name) => read.headers.get(name));
  expect([read.text, ...told]).toEqual(["bytes", "text/x", `"${md5Hex("bytes")}"`]);
});

test("an object that was put again meanwhile, with the same bytes, has the ETag and the date of that", async () => {
  await using folder = temporaryFolder();
  const { port, flags } = await s3Flags(folder.path);
  await using cluster = await startGatedCluster({ volumes: 1, flags: [...flags, "-replicas", "1"] });
  await ask(port, { method: "PUT", target: "/bkt" });
  const target = "/bkt/object";
  const begun = await ask(port, { method: "POST", target: `${target}?uploads` });
  const id = /<UploadId>([^<]+)</.exec(begun.text)![1]!;
  await ask(port, { method: "PUT", target: `${target}?uploadId=${id}&partNumber=1`, body: "bytes" });
  const part = `<Part><PartNumber>1</PartNumber><ETag>${md5Hex("bytes")}</ETag></Part>`;
  const body = `<CompleteMultipartUpload>${part}</CompleteMultipartUpload>`;
  expect((await ask(port, { method: "POST", target: `${target}?uploadId=${id}`, body })).text).toContain("-1");

  const gate = cluster.gates[0]!;
  gate.hold("HEAD", "answer", { times: 1 });
  const retyped = retype(port, target, "text/x");
  await gate.holds("HEAD");
  expect((await ask(port, { method: "PUT", target, body: "bytes" })).status).toBe(200);
  const listedAs = async () => /<LastModified>.*?<\/ETag>/.exec((await ask(port, { target: "/bkt" })).text)?.[0];
  const put = await listedAs();
  gate.open();
  const { status, text } = await retyped;
  expect([status, /<LastModified>.*<\/ETag>/.exec(text)?.[0]]).toEqual([200, put]);
  expect(await listedAs()).toBe(put);
  const read = await ask(port, { method: "HEAD", target });
  const told = ["content-type", "etag"].map((name) => read.headers.get(name));
  expect(told).toEqual(["text/x", `"${md5Hex("bytes")}"`]);
});
