// Lists: every key of a bucket once, in the order of their bytes, however they are asked for.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { temporaryFolder } from "../support/folder";
import { startGatedCluster } from "../support/gated";
import { type S3Cluster, s3Flags, startS3 } from "../support/s3";
import { type Asked, ask } from "../support/s3-sign";
import { md5Hex } from "../support/values";

setDefaultTimeout(60_000);
let s3: S3Cluster;
const names: string[] = [];
beforeAll(async () => {
  s3 = await startS3();
  await ask(s3.port, { method: "PUT", target: "/list" });
  for (let i = 0; i < 40; i++) names.push(`many/${String(i).padStart(3, "0")}`);
  for (const folder of ["a", "b", "c"]) for (let i = 0; i < 35; i++) names.push(`deep/${folder}/${i}/x`);
  names.push("a&b<c>\"'", "empty/", "plus+and space", "top", "zü/1", "zü/2");
  for (let at = 0; at < names.length; at += 20)
    await Promise.all(names.slice(at, at + 20).map((name) => s3.cluster.store(`/list/${name}`)));
  for (const name of ["%FF1", "%FF2", "x%E4%BD/y", "%FE/z"])
    await s3.cluster.ask("PUT", `/list/${name}`, { body: "no UTF-8" });
  for (const hidden of ["/list/hidden", "/list/hidden-folder/only"]) {
    await s3.cluster.store(hidden);
    await s3.cluster.ask("UNLINK", hidden);
  }
  await s3.cluster.store("/listing/other");
  names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
});
afterAll(() => s3[Symbol.asyncDispose]());

type Page = { keys: string[]; prefixes: string[]; next: string | undefined; text: string };

const plain = (text: string) =>
  text.replace(
    /&(amp|lt|gt|quot|#39);/g,
    (_, name: string) => ({ amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" })[name]!,
  );
const all = (text: string, pattern: RegExp) => [...text.matchAll(pattern)].map((match) => plain(match[1]!));

async function page(query: string): Promise<Page> {
  const { status, text } = await ask(s3.port, { target: `/list?${query}` });
  expect([query, status]).toEqual([query, 200]);
  const next = /<Next(?:ContinuationToken|Marker|KeyMarker)>([^<]*)</.exec(text)?.[1];
  return {
    keys: all(text, /<Key>([^<]*)<\/Key>/g),
    prefixes: all(text, /<CommonPrefixes><Prefix>([^<]*)</g),
    next: next && plain(next),
    text,
  };
}

/** All entries, a page after the other. */
async function walk(query: string, more: string): Promise<{ keys: string[]; prefixes: string[]; pages: number }> {
  const found = { keys: [] as string[], prefixes: [] as string[], pages: 0 };
  for (let next = ""; ;) {
    const {
      keys,
      prefixes,
      next: token,
      text,
    } = await page(`${query}${next && `&${more}=${encodeURIComponent(next)}`}`);
    found.keys.push(...keys);
    found.prefixes.push(...prefixes);
    found.pages++;
    if (!text.includes("<IsTruncated>true")) return found;
    next = token ?? keys.at(-1)!;
  }
}

test.each([
  ["list-type=2&max-keys=20", "continuation-token"],
  ["max-keys=20", "marker"],
  ["versions&max-keys=20", "key-marker"],
])("by %s each key is listed once, in order, and no other", async (query, more) => {
  const { keys, pages } = await walk(query, more);
  expect(keys).toEqual(names);
  expect(pages).toBe(Math.ceil(names.length / 20));
});

test.each([
  ["list-type=2", "continuation-token"],
  ["list-type=1", "marker"],
])("by %p a delimiter folds what has a common prefix, whatever the length of a page", async (version, more) => {
  for (const most of [1, 3, 1000]) {
    const { keys, prefixes } = await walk(`${version}&delimiter=%2F&max-keys=${most}`, more);
    expect(keys).toEqual(["a&b<c>\"'", "plus+and space", "top"]);
    expect(prefixes).toEqual(["deep/", "empty/", "many/", "zü/"]);
  }
  const below = await walk(`${version}&delimiter=%2F&prefix=deep%2F&max-keys=2`, more);
  expect(below.prefixes).toEqual(["deep/a/", "deep/b/", "deep/c/"]);
  expect((await walk(`${version}&delimiter=%2F&prefix=empty%2F`, more)).keys).toEqual(["empty/"]);
  expect((await walk(`${version}&delimiter=p%2Fa&prefix=de`, more)).prefixes).toEqual(["deep/a"]);
});

test.each(["marker", "list-type=2&start-after", "versions&key-marker"])(
  "by %s a list that begins in the middle of what a delimiter folds goes on behind it, as AWS has it",
  async (start) => {
    const from = async (name: string) => (await page(`delimiter=%2F&prefix=deep%2F&${start}=${name}`)).prefixes;
    expect(await from("deep/b/7/x")).toEqual(["deep/c/"]);
    expect(await from("deep/b")).toEqual(["deep/b/", "deep/c/"]);
    expect(await from("a/b/c/d/e")).toEqual(["deep/a/", "deep/b/", "deep/c/"]);
  },
);

test("a list begins where it is told, tells how much it has, and says of each object what it is", async () => {
  const after = await page("list-type=2&start-after=many/037");
  expect(after.text).toContain("<StartAfter>many/037</StartAfter>");
  expect(after.keys.slice(0, 2)).toEqual(["many/038", "many/039"]);
  expect(after.text).toContain(`<KeyCount>${after.keys.length}</KeyCount>`);
  const one = await page("list-type=2&prefix=top&fetch-owner=true");
  for (const part of ["<Size>18</Size>", "<StorageClass>STANDARD<", "<Owner>", "<ETag>&quot;", "<LastModified>20"])
    expect(one.text).toContain(part);
  const none = await page("list-type=2&max-keys=0");
  expect([none.keys, none.text.includes("<IsTruncated>false")]).toEqual([[], true]);
  expect((await page("list-type=2&prefix=nothing")).keys).toEqual([]);
  expect((await page("list-type=2&continuation-token=&max-keys=1")).keys).toEqual(names.slice(0, 1));
  expect((await page("versions&max-keys=1")).text).toContain("<NextVersionIdMarker>null<");
});

test("a list has its elements in the order of AWS's schema, by which some clients read them", async () => {
  const elements = async (query: string) => {
    const { text } = await page(`${query}max-keys=1&delimiter=/`);
    return [...text.replace(/<(Contents|Version|CommonPrefixes)>.*/, "").matchAll(/<(\w+)/g)]
      .map(([, name]) => name)
      .join(" ");
  };
  const end = "MaxKeys Delimiter IsTruncated";
  expect(await elements("")).toBe(`ListBucketResult Name Prefix Marker NextMarker ${end}`);
  const markers = "KeyMarker VersionIdMarker NextKeyMarker NextVersionIdMarker";
  expect(await elements("versions&")).toBe(`ListVersionsResult Name Prefix ${markers} ${end}`);
});

test("names are percent-encoded when asked for", async () => {
  const { text } = await page("list-type=2&encoding-type=url&prefix=p&delimiter=%2F");
  expect(text).toContain("<EncodingType>url</EncodingType>");
  expect(text).toContain("<Key>plus%2Band%20space</Key>");
});

test("an apostrophe stays as it is, which not all clients read otherwise", async () => {
  expect((await page("list-type=2&prefix=a%26")).text).toContain("<Key>a&amp;b&lt;c&gt;&quot;'</Key>");
});

test.each([
  ...["max-keys=x", "max-keys=-1", "list-type=2&continuation-token=nonsense", "encoding-type=gzip"],
  ...["start-after=many/037", "versions&start-after=many/037", "continuation-token=nonsense"],
])("%s is no list: 400", async (query) => {
  const { status, text } = await ask(s3.port, { target: `/list?${query}` });
  expect([status, text]).toEqual([400, expect.stringContaining("InvalidArgument")]);
});

test("a list says of each object what HEAD says, also when no volume is there; it names a native value that needs one", async () => {
  const put = (target: string, rest: object = {}) => ask(s3.port, { method: "PUT", target, ...rest });
  await put("/sized");
  await put("/sized/copied", { body: "old" });
  await put("/sized/copied", { headers: { "x-amz-copy-source": "list/top" } });
  await put("/sized/empty", { body: "" });
  await s3.client("sized").write("in-parts", new Uint8Array(11_000_000), { partSize: 5 * 1024 * 1024 });
  await put("/sized/retyped", { body: "a value" });
  const other = { "x-amz-copy-source": "sized/retyped", "x-amz-metadata-directive": "REPLACE" };
  await put("/sized/retyped", { headers: { ...other, "content-type": "text/plain" } });
  await s3.cluster.store("/native/first");
  await s3.cluster.store("/native/second");
  const seen: (string | number)[][] = [];
  for (const name of ["copied", "empty", "in-parts", "retyped"]) {
    const { headers } = await ask(s3.port, { method: "HEAD", target: `/sized/${name}` });
    const [bytes, etag, date] = ["content-length", "etag", "last-modified"].map((field) => headers.get(field) ?? "");
    seen.push([name, bytes!, etag!, Date.parse(date!)]);
  }
  await Promise.all(s3.cluster.volumes.map((volume) => volume.stop()));
  const { text } = await ask(s3.port, { target: "/sized?list-type=2" });
  const listed = text.split("<Contents>").slice(1);
  const of = (part: string, name: string) => plain(new RegExp(`<${name}>([^<]*)<`).exec(part)?.[1] ?? "");
  const told = (part: string) => [
    of(part, "Key"),
    of(part, "Size"),
    of(part, "ETag"),
    Date.parse(of(part, "LastModified")),
  ];
  expect(listed.map(told)).toEqual(seen);
  expect(listed).toHaveLength(4);
  const native = await ask(s3.port, { target: "/native" });
  expect([native.status, native.text]).toEqual([503, expect.stringMatching(/\/native\/(first|second)/)]);
});

test("a list waits for no value that is being replaced: it tells of the one before", async () => {
  await using folder = temporaryFolder();
  const { port, flags } = await s3Flags(folder.path);
  await using cluster = await startGatedCluster({ flags });
  const send = (asked: Asked) => ask(port, asked);
  await send({ method: "PUT", target: "/bucket" });
  await send({ method: "PUT", target: "/bucket/a", body: "before" });
  for (const gate of cluster.gates) gate.hold("MOVE", "arrival");
  const replaced = send({ method: "PUT", target: "/bucket/a", body: "after" });
  for (const gate of cluster.gates) await gate.holds("MOVE");
  const etagIn = async () => /<ETag>(.*)<\/ETag>/.exec((await send({ target: "/bucket?list-type=2" })).text)?.[1];
  expect(await etagIn()).toContain(md5Hex("before"));
  cluster.openAll();
  expect((await replaced).status).toBe(200);
  expect(await etagIn()).toContain(md5Hex("after"));
});
