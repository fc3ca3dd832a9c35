import { expect, test } from "bun:test";
import { join } from "node:path";
import { pathOf, placedOn } from "./placement";

interface Vector {
  keyHex: string;
  volumes: string[];
  replicas: number;
  subvolumes: number;
  path: string;
  placed: string[];
}

const vectors: Vector[] = await Bun.file(join(import.meta.dir, "../fixtures/vectors.json")).json();

test("the tests' own placement agrees with the Go program's", () => {
  expect(vectors.length).toBe(324);
  for (const { keyHex, placed, ...layout } of vectors)
    expect(placedOn(Buffer.from(keyHex, "hex"), layout)).toEqual(placed);
});

test("the tests' own paths agree with the Go program's wherever a file system could store them", () => {
  let compared = 0;
  for (const { keyHex, path } of vectors) {
    const names = path.split("/").slice(3);
    if (names.some((name) => name.length === 0 || name.length > 255)) continue;
    expect(pathOf(Buffer.from(keyHex, "hex"))).toBe(path);
    compared++;
  }
  expect(compared).toBeGreaterThan(200);
});

test("names that no file system could store are spelled with ~", () => {
  expect(pathOf("/??")).toEndWith("/Lz8/~");
  expect(pathOf(Uint8Array.of(0x2f, 0xff, 0xff))).toEndWith("/L/~/~/~");
  const [, , , first, second, ...rest] = pathOf(Buffer.alloc(190, "k")).split("/");
  expect([first!.length, first!.at(-1), second!.length, rest]).toEqual([255, "~", 2, []]);
});
