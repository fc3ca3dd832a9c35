// S3 through several masters of one store, over PostgreSQL: what one has stored or begun, another one reads or ends.
import { expect, setDefaultTimeout, test } from "bun:test";
import { freePort } from "../support/ports";
import { startPostgres } from "../support/postgres";
import { startS3 } from "../support/s3";
import { type Asked, ask } from "../support/s3-sign";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";

setDefaultTimeout(90_000);

test("objects, buckets and uploads are those of all masters; of many writers at both the last one wins", async () => {
  await using database = await startPostgres();
  await using s3 = await startS3({ db: database.url });
  const other = await freePort();
  await using _second = await s3.cluster.anotherMaster(["-s3port", String(other), "-s3keys", s3.keys]);
  const first = (asked: Asked) => ask(s3.port, asked);
  const second = (asked: Asked) => ask(other, asked);

  expect((await first({ method: "PUT", target: "/both" })).status).toBe(200);
  const headers = { "content-type": "text/x" };
  expect((await second({ method: "PUT", target: "/both/k", body: "by the second", headers })).status).toBe(200);
  expect((await first({ method: "PUT", target: "/both/k", body: "by the first", headers })).status).toBe(200);
  const read = await second({ target: "/both/k" });
  expect([read.text, read.headers.get("content-type")]).toEqual(["by the first", "text/x"]);

  const begun = await first({ method: "POST", target: "/both/parts?uploads" });
  const id = /<UploadId>([^<]+)</.exec(begun.text)![1]!;
  const values = [valueOf("one", 5 * 1024 * 1024), valueOf("two", 100)];
  for (const [i, send] of [second, first].entries()) {
    const target = `/both/parts?partNumber=${i + 1}&uploadId=${id}`;
    expect((await send({ method: "PUT", target, body: values[i]! })).status).toBe(200);
  }
  const parts = values.map((value, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${md5Hex(value)}</ETag></Part>`);
  const body = `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`;
  expect((await second({ method: "POST", target: `/both/parts?uploadId=${id}`, body })).status).toBe(200);
  expect(md5Hex((await first({ target: "/both/parts" })).body)).toBe(md5Hex(Buffer.concat(values)));

  const writers = Array.from({ length: 4 }, (_, i) =>
    (i % 2 ? first : second)({ method: "PUT", target: "/both/k", body: `writer ${i}` }),
  );
  expect((await Promise.all(writers)).map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  const seen = [await first({ target: "/both/k" }), await second({ target: "/both/k" })].map(({ text }) => text);
  expect(seen[0]).toBe(seen[1]!);
  expect((await second({ target: "/both" })).text).toMatch(/<Key>k<.*<Key>parts</);

  const isThere = async (bucket: string) => {
    const asked = Array.from({ length: 8 }, () => first({ method: "DELETE", target: `/${bucket}/none` }));
    return (await Promise.all(asked)).some(({ status }) => status === 204); // Whichever of its threads answers.
  };
  for (const [bucket, deletes] of Object.entries({ own: first, others: second })) {
    expect((await first({ method: "PUT", target: `/${bucket}` })).status).toBe(200);
    expect(await isThere(bucket)).toBe(true);
    expect((await deletes({ method: "DELETE", target: `/${bucket}` })).status).toBe(204);
  }
  expect(await isThere("own")).toBe(false);
  await until(async () => !(await isThere("others")), { what: "its bucket is gone for the first", deadlineMs: 5_000 });
});
