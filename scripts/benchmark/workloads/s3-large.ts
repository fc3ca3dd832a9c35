// Owns S3's streams, beside the native dialect and nginx alone, and its lists: what one client sees, by curl.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { ask as askSigned, presign } from "../../../test/support/s3-sign";
import { type Bench, compare } from "../compare";
import { type Side, type Work, timed } from "../measure";
import { demand } from "../failure";
import { serveS3, sideOf } from "../programs";
import { ask, goThrough, run } from "../traffic";
import { Shelf, keyOf, upTo } from "../values";
import { askPages } from "./list";
import { signedFor } from "./s3";

const smallBytes = 1e6;
const pageKeys = 1_000;

/** Values of 1 MB and large ones, one after the other over one connection, and lists of keys in pages. */
export async function s3Large(bench: Bench): Promise<void> {
  const { s3Bytes, s3Values } = bench.sizes;
  await streams(bench, { bytes: smallBytes, count: 20 * s3Values });
  await streams(bench, { bytes: s3Bytes, count: s3Values });
  await lists(bench);
}

async function streams(bench: Bench, { bytes, count }: { bytes: number; count: number }): Promise<void> {
  await using shelf = await Shelf.start();
  const source = join(shelf.folder, "source");
  const { stdout: md5 } = await run(["sh", "-c", `head -c ${bytes} /dev/urandom | tee '${source}' | md5sum`]);
  const [reading, writing]: [Side[], Side[]] = [[], []];
  for (const { served, port } of await serveS3(bench.programs, shelf)) {
    const { master, program } = served;
    const keys = upTo(count).map((n) => `/bench/${program.name}-${bytes}-${n}`);
    const native = (key: string) => `http://localhost:${master.port}${key}`;
    const host = `127.0.0.1:${port}`;
    const signed = (method: "GET" | "PUT") => (target: string) =>
      `http://${host}${presign({ method, target, expires: 3600 }, host)}`;
    await ask(200, "PUT", signed("PUT")("/bench"));
    const put = async (urlOf: (key: string) => string) => {
      for (const key of keys) await fetch(native(key), { method: "DELETE" });
      shelf.settle();
      return await curl(keys.map(urlOf), { bytes, each: ["-T", source] });
    };
    const get = async (urlOf: (key: string) => string, md5Of = md5) => {
      const { stdout } = await run(["sh", "-c", `curl -sSfL '${urlOf(keys[0]!)}' | md5sum`]);
      demand(stdout === md5Of, `GET ${keys[0]} gives another value than was PUT`);
      return await curl(keys.map(urlOf), { bytes, each: ["-L"] });
    };
    if (writing.length === 0) {
      writing.push({ ...sideOf(served, () => put(native)), name: "native PUT" });
      reading.push({ name: "nginx alone", measure: () => get((key) => shelf.urlsOf(key)[0]!) });
      reading.push({ ...sideOf(served, () => get(native)), name: "native GET, redirected" });
    }
    writing.push(sideOf(served, () => put(signed("PUT"))));
    reading.push(sideOf(served, () => get(signed("GET"))));
  }
  const size = `${bytes / 1e6} MB`;
  await compare(bench, { title: `S3: PUT of ${size}, one stream`, unit: "MB/s" }, writing);
  await compare(bench, { title: `S3: GET of ${size}, one stream`, unit: "MB/s", wanted: "0.6 x" }, reading);
  rmSync(source);
}

/** One curl for all of these, over one connection to each server. An item is a megabyte. */
async function curl(urls: readonly string[], { bytes, each }: { bytes: number; each: string[] }): Promise<Work> {
  const { seconds } = await run(["curl", "-sSf", ...urls.flatMap((url) => [...each, "-o", "/dev/null", url])]);
  return { items: (urls.length * bytes) / 1e6, seconds };
}

/** All keys, in pages of 1,000, and all folders of them. */
async function lists(bench: Bench): Promise<void> {
  const { s3Keys } = bench.sizes;
  await using shelf = await Shelf.start();
  const starts = upTo(s3Keys / pageKeys).map((n) => n * pageKeys);
  const [flat, folded]: [Side[], Side[]] = [[], []];
  for (const { served, port } of await serveS3(bench.programs, shelf)) {
    await askSigned(port, { method: "PUT", target: "/bench" });
    await goThrough(upTo(s3Keys).map(keyOf), (key) => ask(200, "PUT", `:${port}${key}`, signedFor(port, "PUT", key)));
    if (flat.length === 0) {
      const pages = async (at: number) => ({ ...(await askPages(at, starts)), items: s3Keys });
      flat.push({ ...sideOf(served, pages), name: "native: ?list&limit=1000" });
      folded.push(flat[0]!);
    }
    flat.push(sideOf(served, () => pagesBy(port, { query: "list-type=2&prefix=", keys: s3Keys })));
    folded.push(sideOf(served, () => pagesBy(port, { query: "delimiter=-&list-type=2&prefix=", keys: s3Keys })));
  }
  const all = s3Keys.toLocaleString("en");
  await compare(bench, { title: `S3: list of ${all} keys, V2 pages of 1,000`, unit: "keys/s" }, flat);
  await compare(bench, { title: `S3: the same with a delimiter, a folder for each key`, unit: "keys/s" }, folded);
}

async function pagesBy(port: number, { query, keys }: { query: string; keys: number }): Promise<Work> {
  let found = 0;
  const work = await timed(keys, async () => {
    for (let token: string | undefined = ""; token !== undefined;) {
      const from: string = token === "" ? "" : `continuation-token=${encodeURIComponent(token)}&`;
      const { status, text } = await askSigned(port, { target: `/bench?${from}${query}` });
      demand(status === 200, `a page of S3's list gives ${status}: ${text.slice(0, 200)}`);
      found += text.split(/<Contents>|<CommonPrefixes>/).length - 1;
      token = /<NextContinuationToken>([^<]+)</.exec(text)?.[1];
    }
  });
  demand(found === keys, `S3's list gives ${found} keys of ${keys}`);
  return work;
}
