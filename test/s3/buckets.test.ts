// A bucket that is deleted leaves nothing behind that a later one of its name would have.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { writeRecords } from "../support/records";
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

/** Every bucket, page by page, as a client does that is told where the next one begins; and how many pages there were. */
async function bucketsOf(query: string): Promise<{ names: string[]; pages: number }> {
  const names: string[] = [];
  for (let pages = 1, more = ""; ; pages++) {
    const { text } = await send("GET", `/?${query}${more}`);
    names.push(...[...text.matchAll(/<Name>([^<]+)</g)].map((match) => match[1]!));
    const token = /<ContinuationToken>([^<]+)</.exec(text)?.[1];
    if (token === undefined) return { names, pages };
    more = `&continuation-token=${token}`;
  }
}

test("buckets are on some page, once, whatever lies before them, made or not; parts of uploads cost nothing", async () => {
  await s3.cluster.master.stop();
  const record = `HASH${"0".repeat(32)}${s3.cluster.addresses.join(",")}`;
  const write = (count: number, keyOf: (number: string) => string, value = record) =>
    writeRecords(
      s3.cluster.db,
      Array.from({ length: count }, (_, i): [string, string] => [keyOf(String(i).padStart(5, "0")), value]),
    );
  for (const name of ["n-named", "n-next"]) await write(1, () => `/${name}/key`);
  await write(12_000, (number) => `/mkv:uploads/${"f".repeat(32)}/${number}`);
  await s3.cluster.startMaster();
  for (const name of ["n-made", "n-made.2", "n-z"]) expect((await send("PUT", `/${name}`)).status).toBe(200);
  const first = ["n-made", "n-made.2", "n-named", "n-next", "n-z"];
  expect(await bucketsOf("prefix=n-")).toEqual({ names: first, pages: 1 });
  expect((await bucketsOf("")).names).toEqual(expect.arrayContaining(first));
  expect((await bucketsOf("")).pages).toBe(1);

  await s3.cluster.master.stop();
  await write(12_000, (number) => `/n-lone-${number}`);
  await write(12_000, (number) => `/n-z/${number}`, `DELETED${record}`);
  await write(1, () => "/n-z/last");
  await write(1, () => "/n-zz/key");
  await s3.cluster.startMaster();
  const all = await bucketsOf("prefix=n-");
  expect([all.names.toSorted(), all.pages > 1]).toEqual([[...first, "n-zz"], true]);
  for (const most of [1, 3]) {
    const { names } = await bucketsOf(`prefix=n-&max-buckets=${most}`);
    expect(names.toSorted()).toEqual([...first, "n-zz"]);
  }
});
