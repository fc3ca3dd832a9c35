// Owns S3 beside the original's dialect: small values, read and written by 16 clients that sign each request.
import { sign } from "../../../test/support/s3-sign";
import { md5Hex } from "../../../test/support/values";
import { type Bench, compare } from "../compare";
import { demand } from "../failure";
import { type Side } from "../measure";
import { serveS3, sideOf } from "../programs";
import { ask, fetchValue, forSeconds, goThrough } from "../traffic";
import { type Entry, Shelf, entriesUpTo, keyOf, upTo, valueOf } from "../values";

const askedKeys = 2_000;
let puts = 0;

/** GET streams through the master, PUT is checked against its SHA-256. Signing is not measured: it is the client's work. */
export async function s3({ sizes, ...bench }: Bench): Promise<void> {
  await using shelf = await Shelf.start();
  const keys = upTo(sizes.keys).map(keyOf);
  await shelf.store(keys);
  const asked = keys.slice(0, askedKeys);
  const fresh = () => upTo(sizes.s3Puts).map((n) => `/bench/put-${++puts}-${n}`);
  const entries = function* (): Generator<Entry> {
    // This dialect says the MD5 to the client: it has to be that of the value.
    for (const [key, record] of entriesUpTo(keys.length, shelf.topology)) {
      yield [key, record.replace(/^HASH.{32}/, `HASH${md5Hex(valueOf(key))}`)];
    }
  };
  const read = (get: (key: string) => Promise<Uint8Array>) =>
    goThrough(forSeconds(sizes.seconds), async (n) => {
      const key = asked[n % asked.length]!;
      demand(valueOf(key).equals(await get(key)), `GET ${key} gives another value`);
    });
  const [reading, writing]: [Side[], Side[]] = [[], []];
  for (const { served, port } of await serveS3(bench.programs, shelf, entries)) {
    if (reading.length === 0) {
      const put = (at: number) => goThrough(fresh(), (key) => ask(201, "PUT", `:${at}${key}`, { body: valueOf(key) }));
      reading.push({ ...sideOf(served, (at) => read((key) => fetchValue(at, key))), name: "native: GET and redirect" });
      writing.push({ ...sideOf(served, put), name: "native: PUT" });
    }
    const get = () => {
      const signed = new Map(asked.map((key) => [key, signedFor(port, "GET", key)]));
      return read(async (key) => await (await ask(200, "GET", `:${port}${key}`, signed.get(key))).bytes());
    };
    const put = () => {
      const signed = fresh().map((key) => [key, signedFor(port, "PUT", key)] as const);
      return goThrough(signed, ([key, request]) => ask(200, "PUT", `:${port}${key}`, request));
    };
    reading.push(sideOf(served, get));
    writing.push(sideOf(served, put));
  }
  await compare({ sizes, ...bench }, { title: "S3: GET of 1 kB, signed", unit: "req/s" }, reading);
  await compare({ sizes, ...bench }, { title: "S3: PUT of 1 kB, signed", unit: "req/s" }, writing);
}

/** A signed GET or PUT of a small value, for `ask`. */
export function signedFor(port: number, method: "GET" | "PUT", key: string): RequestInit {
  const body = method === "PUT" ? { body: valueOf(key) } : {};
  return { ...body, headers: sign({ method, target: key, ...body }, `127.0.0.1:${port}`).headers };
}
