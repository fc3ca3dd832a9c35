// Bodies that are refused before all of them has come.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Ask, dial, head } from "../support/http";
import { type S3Cluster, codeIn, startS3 } from "../support/s3";
import { type Asked, ask, sign } from "../support/s3-sign";

setDefaultTimeout(60_000);
let s3: S3Cluster;
beforeAll(async () => {
  s3 = await startS3();
  await ask(s3.port, { method: "PUT", target: "/bkt" });
});
afterAll(() => s3[Symbol.asyncDispose]());

const send = (asked: Asked) => ask(s3.port, asked);

test("a client that sends all before it reads learns why its body was refused, and that forms are not taken", async () => {
  const body = Buffer.alloc(16 * 1024 * 1024);
  const headers = { "content-type": "multipart/form-data; boundary=x" };
  const refuse = async (asked: Ask) => {
    using wire = await dial(s3.port);
    wire.pause();
    wire.write(head({ ...asked, body }, { close: false }));
    for (let at = 0; at < body.length; at += 65_536) {
      wire.write(body.subarray(at, at + 65_536));
      await wire.drained();
    }
    wire.resume();
    return codeIn((await wire.answer()).text);
  };
  const put = refuse({ method: "PUT", target: "/bkt/unsigned" });
  const form = refuse({ method: "POST", target: "/bkt", headers });
  expect(await Promise.all([put, form])).toEqual(["AccessDenied", "NotImplemented"]);
  const framedAs = (payload: string) => {
    const announced = { "x-amz-decoded-content-length": String(body.length) };
    const asked = { method: "PUT", target: "/bkt/framed", headers: announced, payload };
    return refuse({ ...asked, headers: sign(asked).headers });
  };
  body.write(`100000;chunk-signature=${"0".repeat(64)}\r\n`); // A million zeros follow.
  expect(await framedAs("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")).toBe("SignatureDoesNotMatch");
  expect(await framedAs("STREAMING-UNSIGNED-PAYLOAD-TRAILER")).toBe("IncompleteBody");
});

test("a client that waits to be told sends no body that is not wanted", async () => {
  const put = (target: string, expect: string) => send({ method: "PUT", target, body: "patient", headers: { expect } });
  const wanted = await put("/bkt/awaited", "100-continue");
  expect([wanted.status, wanted.continued, wanted.headers.get("content-length")]).toEqual([200, true, "0"]);
  const refused = await put("/none/awaited", "100-continue");
  expect([refused.status, refused.continued]).toEqual([404, false]);
  expect((await put("/bkt/awaited", "wonders")).status).toBe(200); // As AWS has it.
});
