// A bucket that is deleted leaves nothing behind that a later one of its name would have.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type S3Cluster, codeIn, startS3 } from "../support/s3";
import { ask } from "../support/s3-sign";

setDefaultTimeout(60_000);
let s3: S3Cluster;
beforeAll(async () => void (s3 = await startS3()));
afterAll(() => s3[Symbol.asyncDispose]());

const send = (method: string, target: string, body?: string) => ask(s3.port, { method, target, ...(body && { body }) });

async function beginWithPart(key: string): Promise<string> {
  const { text } = await send("POST", `${key}?uploads`);
  const id = /<UploadId>([^<]+)</.exec(text)![1]!;
  expect((await send("PUT", `${key}?partNumber=1&uploadId=${id}`, `part of ${key}`)).status).toBe(200);
  return id;
}

test("open uploads of a bucket end with it, and those of another one do not", async () => {
  for (const bucket of ["/gone", "/gone-not"]) expect((await send("PUT", bucket)).status).toBe(200);
  const ids = [await beginWithPart("/gone/a"), await beginWithPart("/gone/b/c")];
  const other = await beginWithPart("/gone-not/a");
  const keys = s3.cluster.remains().length;

  expect((await send("DELETE", "/gone")).status).toBe(204);
  expect((await send("HEAD", "/gone")).status).toBe(404);
  expect(s3.cluster.remains().length).toBeLessThan(keys);
  expect((await send("PUT", "/gone")).status).toBe(200);
  expect((await send("GET", "/gone?uploads")).text).not.toContain("<Upload>");
  const late = await send("PUT", `/gone/a?partNumber=2&uploadId=${ids[0]}`, "late");
  expect([late.status, codeIn(late.text)]).toEqual([404, "NoSuchUpload"]);
  expect((await send("GET", "/gone-not?uploads")).text).toContain(`<UploadId>${other}<`);
});
