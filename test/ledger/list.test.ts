// Lists show keys as text: whatever their bytes are, it is the text that everything else shows.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { showKey } from "../../src/format/key";
import { startPostgres, type Postgres } from "../support/postgres";
import { holding, keyOf, openLevel, openPostgres, same } from "./ledgers";

setDefaultTimeout(30_000);
let server: Postgres;
beforeAll(async () => void (server = await startPostgres()));
afterAll(async () => await server[Symbol.asyncDispose]());

/** Bytes that begin, go on with, and break characters of UTF-8, and those that `showKey` escapes. */
const bytes = [0, 0x22, 0x2f, 0x61, 0x80, 0x8f, 0xa0, 0xa9, 0xbd, 0xbf, 0xc3, 0xe2, 0xed, 0xef, 0xf4, 0xff];
const byteOf = (i: number, j: number) => bytes[(i * 31 + j * j * 7 + i * j) % bytes.length]!;
const odd = Array.from({ length: 120 }, (_, i) => Array.from({ length: 1 + (i % 7) }, (_, j) => byteOf(i, j)));
const whole = ["\ufffd", "\u{10ff41}", "\u{10f000}", "é", "😀"].map((text) => [...Buffer.from(text)]);
const plain = Array.from({ length: 60 }, (_, i) => [...Buffer.from(`a${i}`)]);

test.each([
  ["LevelDB", openLevel],
  ["PostgreSQL", () => openPostgres(server)],
])("%s: keys of any bytes are shown as they are everywhere, from wherever a list begins", async (_, open) => {
  await using at = await open();
  for (const key of [...odd, ...whole, ...plain]) {
    await using claim = await at.one.claim(keyOf(Buffer.from([0x2f, ...key])), same);
    await claim.end(holding("a:1"));
  }
  const keys = (await Array.fromAsync(at.other.scan({}))).flat().map(([key]) => Buffer.from(key));
  expect(keys.length).toBeGreaterThan(150);
  for (const start of keys) {
    for await (const [entry] of at.other.list({ start }, { atOnce: 1 })) {
      expect(entry![0]).toBe(showKey(start));
      break;
    }
  }
  for (const first of [0, 3, 50, 100]) {
    for (const options of [{}, { atOnce: 1 }, { atOnce: 7 }, { atOnce: 30 }]) {
      const pages = await Array.fromAsync(at.other.list({ start: keys[first] }, options));
      expect(pages.flat().map(([key]) => key)).toEqual(keys.slice(first).map(showKey));
    }
  }
});
