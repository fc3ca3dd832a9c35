// Objects: what is put is what is read, by S3 and by the native dialect alike.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { follow, request } from "../support/http";
import { settledOwing } from "../support/journals";
import { runMkv } from "../support/master";
import { type S3Cluster, codeIn, startS3 } from "../support/s3";
import { type Asked, ask, presign } from "../support/s3-sign";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";

setDefaultTimeout(60_000);
let s3: S3Cluster;
beforeAll(async () => {
  s3 = await startS3({ volumes: 4, flags: ["-v"] });
  expect((await put("", "")).status).toBe(200);
});
afterAll(() => s3[Symbol.asyncDispose]());

const send = (asked: Asked) => ask(s3.port, asked);
const put = (key: string, body: string | Uint8Array, headers: Record<string, string> = {}) =>
  send({ method: "PUT", target: `/objects${key && `/${key}`}`, body, headers });
const get = (key: string, headers: Record<string, string> = {}) => send({ target: `/objects/${key}`, headers });

test("an object is the value of its path, for both dialects", async () => {
  const value = valueOf("both", 200_000);
  const stored = await put("both/1", value);
  expect([stored.status, stored.headers.get("etag")]).toEqual([200, `"${md5Hex(value)}"`]);
  const native = await s3.cluster.ask("GET", "/objects/both/1");
  expect(native.headers.get("content-md5")).toBe(md5Hex(value));
  expect((await follow(native)).body.equals(value)).toBe(true);
  await s3.cluster.store("/objects/both/2.png", "native");
  const read = await get("both/2.png");
  expect([read.text, read.headers.get("content-type")]).toEqual(["native", "image/png"]);
  expect([read.headers.get("etag"), read.headers.get("content-length")]).toEqual([`"${md5Hex("native")}"`, "6"]);
});

test("an empty object is whole, for both dialects, for verify and for rebuild; it may replace another, and be replaced", async () => {
  expect((await put("empty", "")).status).toBe(200);
  const read = await get("empty");
  expect([read.status, read.headers.get("content-length"), read.headers.get("etag")]).toEqual([
    200,
    "0",
    `"${md5Hex("")}"`,
  ]);
  expect((await follow(await s3.cluster.ask("GET", "/objects/empty"))).body.length).toBe(0);
  expect((await get("empty", { range: "bytes=0-" })).text).toContain("<ActualObjectSize>0<"); // So smart_open reads it.
  for (const value of ["full", ""]) {
    expect((await put("empty", value)).status).toBe(200);
    expect((await get("empty")).text).toBe(value);
  }
  const flags = ["-volumes", s3.cluster.addresses.join(",")];
  const verified = await runMkv([...flags, "-master", s3.cluster.master.url, "-md5", "verify"], { timeoutMs: 60_000 });
  expect(verified.stdout + verified.stderr).toContain("0 missing, 0 damaged");
});

test("type, metadata and other headers come back as they were put, and go with the next put", async () => {
  const same = {
    "content-type": "text/x; charset=utf-8",
    "cache-control": "max-age=60",
    "content-disposition": 'attachment; filename="a  b"',
    "content-language": "de",
    expires: "Thu, 01 Dec 2044 16:00:00 GMT",
    "x-amz-meta-one": "1  2\t3",
  };
  const headers = {
    ...same,
    "content-encoding": "deflate, gzip, aws-chunked",
    "x-amz-meta-umlaut": Buffer.from("üà").toString("latin1"),
    "x-amz-storage-class": "STANDARD",
    "x-amz-acl": "private",
  };
  expect((await put("typed", "x", headers)).status).toBe(200);
  for (const method of ["GET", "HEAD"]) {
    const { headers: found } = await send({ method, target: "/objects/typed" });
    for (const [name, text] of Object.entries(same)) expect([name, found.get(name)]).toEqual([name, text]);
    expect([found.get("content-encoding"), found.get("content-length")]).toEqual(["deflate, gzip", "1"]);
    expect(Buffer.from(found.get("x-amz-meta-umlaut")!, "latin1").toString()).toBe("üà");
  }
  for (const fewer of [{}, { "content-type": "", "content-encoding": "aws-chunked" }]) {
    expect((await put("typed", "x", fewer)).status).toBe(200);
    const { headers: plain } = await get("typed");
    const told = ["content-type", "content-encoding", "x-amz-meta-one"].map((name) => plain.get(name));
    expect(told).toEqual(["binary/octet-stream", null, null]);
  }
});

test("attributes are of one write: a native delete and put of the same bytes does not have them", async () => {
  await put("same", "bytes", { "content-type": "text/x" });
  expect((await s3.cluster.ask("DELETE", "/objects/same")).status).toBe(204);
  await s3.cluster.store("/objects/same", "bytes");
  expect((await get("same")).headers.get("content-type")).not.toBe("text/x");
  await put("same", "bytes", { "content-type": "text/x" });
  expect((await s3.cluster.ask("PUT", "/objects/same?replace", { body: "bytes" })).status).toBe(201);
  expect((await get("same")).headers.get("content-type")).not.toBe("text/x");
});

test("ranges are those that were asked for", async () => {
  const value = valueOf("ranged", 1_000);
  await put("ranged", value);
  const cases: [range: string, from: number, to: number][] = [
    ["bytes=0-9", 0, 9],
    ["bytes=990-", 990, 999],
    ["bytes=-5", 995, 999],
    ["bytes=-5000", 0, 999],
    ["bytes=999-5000", 999, 999],
  ];
  for (const [range, from, to] of cases) {
    const part = await get("ranged", { range });
    expect([part.status, part.headers.get("content-range")]).toEqual([206, `bytes ${from}-${to}/1000`]);
    expect(part.body.equals(value.subarray(from, to + 1))).toBe(true);
  }
  for (const range of ["bytes=0-1,5-6", "bytes=9-0", "lines=1-2"])
    expect((await get("ranged", { range })).status).toBe(200);
  const beyond = await get("ranged", { range: "bytes=1000-" });
  expect([beyond.status, codeIn(beyond.text), beyond.headers.get("content-range")]).toEqual([
    416,
    "InvalidRange",
    "bytes */1000",
  ]);
  expect((await get("ranged", { range: "bytes=0-0", "if-range": '"other"' })).status).toBe(200);
});

test("conditions of a read are answered in the order of RFC 9110", async () => {
  await put("read-if", "x");
  const etag = `"${md5Hex("x")}"`;
  const [past, future] = [new Date(0).toUTCString(), new Date(Date.now() + 3_600_000).toUTCString()];
  const cases: [headers: Record<string, string>, status: number][] = [
    [{ "if-match": etag }, 200],
    [{ "if-match": `"other", ${md5Hex("x")}` }, 200],
    [{ "if-match": '"other"' }, 412],
    [{ "if-none-match": etag }, 304],
    [{ "if-none-match": '"other"' }, 200],
    [{ "if-modified-since": future }, 200], // As of AWS: a date that is to come says nothing.
    [{ "if-modified-since": past }, 200],
    [{ "if-unmodified-since": past }, 412],
    [{ "if-unmodified-since": future }, 200],
    [{ "if-match": etag, "if-unmodified-since": past }, 200],
    [{ "if-none-match": '"other"', "if-modified-since": future }, 200],
  ];
  for (const [headers, status] of cases) {
    const answer = await get("read-if", headers);
    expect([headers, answer.status]).toEqual([headers, status]);
    if (status === 304) expect(answer.headers.get("etag")).toBe(etag);
  }
});

test("of eight that put where nothing is, exactly one wins; a wrong or missing ETag is refused", async () => {
  const answers = await Promise.all(
    Array.from({ length: 8 }, (_, i) => put("once", `from ${i}`, { "if-none-match": "*" })),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array.from({ length: 7 }, () => 412)]);
  const { text } = await get("once");
  expect((await put("once", "y", { "if-match": md5Hex("other") })).status).toBe(412);
  expect((await put("never", "y", { "if-match": md5Hex("other") })).status).toBe(404);
  expect((await put("once", "y", { "if-match": `"${md5Hex(text)}"` })).status).toBe(200);
});

test("of many writers of one object the last one wins, and readers see one of them, whole", async () => {
  const sums = new Set<string>();
  let isOver = false;
  const reading = (async () => {
    while (!isOver) {
      const { status, body, headers } = await get("contended");
      if (status === 200) expect(`"${md5Hex(body)}"`).toBe(headers.get("etag")!);
      sums.add(status === 404 ? "404" : md5Hex(body));
    }
  })();
  const values = Array.from({ length: 5 }, (_, i) => valueOf(`writer ${i}`, 100_000 + i));
  const answers = await Promise.all(values.map((value) => put("contended", value)));
  expect(answers.map(({ status }) => status)).toEqual(values.map(() => 200));
  isOver = true;
  await reading;
  const known = new Set(["404", ...values.map((value) => md5Hex(value))]);
  expect([...sums].filter((sum) => !known.has(sum))).toEqual([]);
});

test("a copy has the bytes and the headers of its source, or those that it is given; also onto itself", async () => {
  await put("source%20%C3%BC", "copied", { "content-type": "text/x", "x-amz-meta-a": "1" });
  const copy = (key: string, headers: Record<string, string>) =>
    send({
      method: "PUT",
      target: `/objects/${key}`,
      headers: { "x-amz-copy-source": "/objects/source%20%C3%BC", ...headers },
    });
  const copied = await copy("copy", {});
  expect([copied.status, copied.text]).toEqual([200, expect.stringContaining(md5Hex("copied"))]);
  expect((await get("copy")).headers.get("x-amz-meta-a")).toBe("1");
  expect((await copy("copy", { "x-amz-metadata-directive": "REPLACE", "x-amz-meta-b": "2" })).status).toBe(200);
  const { headers } = await get("copy");
  expect([headers.get("x-amz-meta-a"), headers.get("x-amz-meta-b")]).toEqual([null, "2"]);
  expect(codeIn((await copy("source%20%C3%BC", {})).text)).toBe("InvalidRequest");
  expect((await copy("source%20%C3%BC", { "x-amz-storage-class": "STANDARD" })).status).toBe(200); // So it gets a new date.
  expect((await get("source%20%C3%BC")).headers.get("x-amz-meta-a")).toBe("1");
  expect((await copy("source%20%C3%BC", { "x-amz-metadata-directive": "REPLACE", "content-type": "a/b" })).status).toBe(
    200,
  );
  const onto = await get("source%20%C3%BC");
  expect([onto.text, onto.headers.get("content-type"), onto.headers.get("x-amz-meta-a")]).toEqual([
    "copied",
    "a/b",
    null,
  ]);
  expect((await copy("copy", { "x-amz-copy-source-if-match": md5Hex("x") })).status).toBe(412);
  const none = await send({
    method: "PUT",
    target: "/objects/copy",
    headers: { "x-amz-copy-source": "objects%2Fnone" },
  });
  expect(codeIn(none.text)).toBe("NoSuchKey");
});

test("what is deleted is gone, from every volume; one by one, or many at once", async () => {
  for (const key of ["del/1", "del/2", "del/3", "del/4"]) await put(key, key);
  for (let times = 0; times < 2; times++)
    expect((await send({ method: "DELETE", target: "/objects/del/1" })).status).toBe(204);
  const body =
    "<Delete><Object><Key>del/2</Key><VersionId>null</VersionId></Object><Object><Key>del/none</Key></Object></Delete>";
  const batch = (text: string) => {
    const md5 = Buffer.from(md5Hex(text), "hex").toString("base64");
    return send({ method: "POST", target: "/objects/?delete=", body: text, headers: { "content-md5": md5 } });
  };
  expect((await batch(body)).text.match(/<Deleted>/g)?.length).toBe(2);
  const quiet = await batch(body.replace("del/2", "del/3").replace("<Delete>", "<Delete><Quiet>true</Quiet>"));
  expect([quiet.status, quiet.text]).toEqual([200, expect.not.stringContaining("Deleted>")]);
  expect(await s3.cluster.keys("list", "/objects/del/")).toEqual(["/objects/del/4"]);
  await settledOwing(s3.cluster.db);
  expect((await send({ method: "DELETE", target: "/objects/del/4" })).status).toBe(204);
});

test("a presigned link may carry metadata; sums in it are none of the body", async () => {
  const target = "/objects/linked?x-amz-meta-a=1%202&x-amz-checksum-crc32=AAAAAA%3D%3D";
  const link = presign({ method: "PUT", target });
  expect((await request(s3.port, { method: "PUT", target: link, body: "x" })).status).toBe(200);
  expect((await get("linked")).headers.get("x-amz-meta-a")).toBe("1 2");
  expect(s3.cluster.master.output).toMatch(/"PUT \/objects\/linked\S*X-Amz-Signature=\.\.\."/);
});

test("an object is there after a restart, with its attributes; a sum that it was put with is told when asked for", async () => {
  const sums = { "x-amz-checksum-sha1": new Bun.CryptoHasher("sha1").update("kept").digest("base64") };
  const stored = await put("lasting", "kept", { "content-type": "text/x", ...sums });
  expect([stored.status, stored.headers.get("x-amz-checksum-sha1")]).toEqual([200, sums["x-amz-checksum-sha1"]]);
  await s3.cluster.master.kill();
  await s3.cluster.startMaster();
  await until(async () => (await get("lasting")).text === "kept", { what: "it is there again" });
  const read = await get("lasting", { "x-amz-checksum-mode": "ENABLED" });
  const told = ["content-type", "x-amz-checksum-sha1"].map((name) => read.headers.get(name));
  expect(told).toEqual(["text/x", sums["x-amz-checksum-sha1"]]);
  expect((await request(s3.port, { target: presign({ target: "/objects/lasting" }) })).text).toBe("kept");
});
