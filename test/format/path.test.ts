// Paths of random keys, of bytes that make many "/" in Base64 above all.
import { expect, test } from "bun:test";
import { type Key } from "../../src/format/key";
import { earlierPathOf, keyAt, keysAbove, pathOf } from "../../src/format/path";
import { entangledPairs } from "../support/entangled";
import { earlierPathOf as earlierByTheBook, foldedPathOf, pathOf as byTheBook } from "../support/placement";
import { valueOf } from "../support/values";

const DEEPEST = 8;

/** Keys of every length, of runs of 0xFF, of text, of anything, and of bits that make every second character a "/". */
function* randomKeys(count: number): Generator<Key> {
  for (let i = 0; i < count; i++) {
    const dice = valueOf(`key ${i}`, 1_100);
    const length = dice[0]! % 4 === 0 ? 1 + (dice.readUInt16BE(1) % 1_024) : 1 + (dice[1]! % 60);
    const key = Buffer.from(dice.subarray(10, 10 + length));
    for (let at = 0; at < length; at += 1 + (dice[2]! % 9)) key.fill(0xff, at, Math.min(length, at + (dice[3]! % 30)));
    if (dice[4]! % 5 === 0) for (let at = 0; at < length; at++) key[at] = 0x61 + (key[at]! % 26);
    if (dice[4]! % 5 === 1) key.forEach((byte, at) => (key[at] = byte | [0x03, 0xf0, 0x3f][at % 3]!));
    key[0] = 0x2f;
    yield new Uint8Array(key) as Key;
  }
}

test("a path tells its key, can be stored, and has few folders unless it is the Go program's", () => {
  let flat = 0;
  for (const key of randomKeys(1_000)) {
    const path = pathOf(key);
    const names = path.split("/").slice(3);
    expect(path).toBe(byTheBook(key));
    expect(keyAt(path)).toEqual(key);
    expect(path).toMatch(/^\/..\/..(\/[A-Za-z0-9+=~_-]{1,255})+$/);
    if (names.join("/") !== Buffer.from(key).toString("base64")) expect(names.length).toBeLessThanOrEqual(DEEPEST);
    const earlier = earlierPathOf(path);
    if (earlier === undefined || !path.includes("_")) continue;
    flat++;
    expect(earlier).toBe(earlierByTheBook(key));
    expect(earlier.split("/").length).toBeGreaterThan(DEEPEST + 3);
    expect(keyAt(earlier)).toEqual(key);
    expect(keysAbove(key)).toEqual([]);
  }
  expect(flat).toBeGreaterThan(100);
});

test("a name that only looks like one is that of no key", () => {
  const path = pathOf(new TextEncoder().encode("/a plain key, not over long, of text") as Uint8Array as Key);
  const cut = `${path.slice(0, 9)}~/${path.slice(9)}`;
  for (const wrong of [path.replace("L", "_"), path.replace(/.$/, "_"), `${path}_`, cut])
    expect(keyAt(wrong)).toBeUndefined();
});

test("the longest key of 0xFF lies six folders deep, where there were 1,364", () => {
  const key = new Uint8Array(1_024).fill(0xff) as Key;
  key[0] = 0x2f;
  expect(pathOf(key)).toMatch(/^\/..\/..\/L_{253}~(\/_{254}~){4}\/_+w==$/);
  expect(earlierPathOf(pathOf(key))!.split("/").length).toBe(1_365 + 3);
});

test("a path that the Go program let nginx fold tells its key, and belongs to no other one", () => {
  let [folded, others] = [0, 0];
  for (const key of randomKeys(2_000)) {
    const base64 = Buffer.from(key).toString("base64");
    if (!base64.includes("//") || base64.endsWith("/") || base64.length > 40) continue;
    const path = foldedPathOf(key);
    const paths = [pathOf(key)];
    for (let at = earlierPathOf(paths[0]!); at !== undefined; at = earlierPathOf(at)) paths.push(at);
    if (paths.at(-1) === path) expect([folded++, keyAt(path)]).toEqual([expect.any(Number), key]);
    else expect([others++, keyAt(path)?.toHex()]).not.toEqual([expect.any(Number), key.toHex()]);
  }
  expect(folded).toBeGreaterThan(100);
  expect(others).toBeLessThan(folded / 2);
});

test("a file of one key is never taken for the folded one of another", () => {
  const keyOf = (base64: string) => new Uint8Array(Buffer.from(base64, "base64")) as Key;
  for (let number = 0; ; number++) {
    const middle = Buffer.from(String(number).padStart(6, "0")).toString("base64");
    const [short, long] = [keyOf(`L2${middle}/A`), keyOf(`L2${middle}/////A`)];
    if (foldedPathOf(long) !== pathOf(short)) continue;
    expect(keyAt(pathOf(short))).toEqual(short);
    expect(earlierPathOf(pathOf(long))).toBeUndefined();
    return;
  }
});

test("keys that are in each other's way are found by one of them", () => {
  for (const { above, below } of entangledPairs("format").take(2)) {
    const key = new TextEncoder().encode(above) as Uint8Array as Key;
    expect(keysAbove(new Uint8Array(below) as Key)).toEqual([key]);
    expect(keysAbove(key)).toEqual([]);
  }
});
