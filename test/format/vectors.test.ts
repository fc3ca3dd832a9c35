// The Go program's own answers: where a key lies, and on which volumes.
import { describe, expect, test } from "bun:test";
import { type Key, parseKey, readShown, showKey } from "../../src/format/key";
import { keyAt, pathOf } from "../../src/format/path";
import { place } from "../../src/format/placement";
import vectors from "../fixtures/vectors.json";

const rows = vectors as {
  keyHex: string;
  volumes: string[];
  replicas: number;
  subvolumes: number;
  path: string;
  placed: string[];
}[];
const keyOf = (hex: string) => new Uint8Array(Buffer.from(hex, "hex")) as Key;
const isStorable = (path: string) =>
  path
    .split("/")
    .slice(3)
    .every((part) => part.length >= 1 && part.length <= 255);

describe("the Go program's vectors", () => {
  test("there are 324, some of which no file system can store", () => {
    expect(rows.length).toBe(324);
    const unstorable = rows.filter(({ path }) => !isStorable(path)).length;
    expect(unstorable).toBeGreaterThan(0);
    expect(unstorable).toBeLessThan(100);
  });

  test("a key lies on the volumes on which the Go program puts it", () => {
    for (const row of rows)
      expect({ key: row.keyHex, placed: place(keyOf(row.keyHex), row) }).toEqual({
        key: row.keyHex,
        placed: row.placed,
      });
  });

  test("a value lies at the path at which the Go program stores it", () => {
    for (const { keyHex, path } of rows) if (isStorable(path)) expect(pathOf(keyOf(keyHex))).toBe(path);
  });

  test("every path that is asked of a volume can be stored, and tells its key", () => {
    for (const { keyHex } of rows) {
      const path = pathOf(keyOf(keyHex));
      expect(isStorable(path)).toBe(true);
      if (keyHex.startsWith("2f")) expect(Buffer.from(keyAt(path)!).toString("hex")).toBe(keyHex);
    }
  });
});

test("the extension: empty components are ~, long ones are cut, and both are told back", () => {
  const ends = parseKey("/%3f%3f");
  expect(pathOf(ends).slice(6)).toBe(
    "/Lz8~".replace("Lz8~", Buffer.from("/??").toString("base64").replace(/\/$/, "/~")),
  );
  const twice = parseKey("/%ff%ff%ff%ff");
  expect(pathOf(twice)).toContain("/~/");
  const long = parseKey(`/${"a".repeat(400)}`);
  const parts = pathOf(long).split("/").slice(3);
  expect(parts.map((part) => part.length)).toEqual([255, 255, 28]);
  for (const key of [ends, twice, long]) expect(Buffer.from(keyAt(pathOf(key))!).equals(Buffer.from(key))).toBe(true);
});

test("a file is only taken for a value where its name belongs", () => {
  const path = pathOf(parseKey("/key"));
  expect(keyAt(path)).toBeDefined();
  const elsewhere = path.replace(/^\/../, (start) => (start === "/00" ? "/01" : "/00"));
  const noSlash = `/5d/41/${Buffer.from("hello").toString("base64")}`;
  for (const wrong of [elsewhere, `${path}x`, `${path}~`, path.slice(1), "/", "/00/00", noSlash])
    expect(keyAt(wrong)).toBeUndefined();
});

test("a key of 1,024 bytes works, one of 1,025 does not, and a broken escape is refused", () => {
  expect(parseKey(`/${"%61".repeat(1023)}`).length).toBe(1024);
  expect(() => parseKey(`/${"a".repeat(1024)}`)).toThrow("1025 bytes");
  for (const broken of ["/%", "/%4", "/%zz", "/%+1"]) expect(() => parseKey(broken)).toThrow("percent-encoding");
});

test("any bytes survive being shown", () => {
  const odd = [
    "2f61",
    "2fff",
    "2fc3a9",
    "2fc3",
    "2ff48fbfbf",
    "2fedb380",
    "2f00",
    "2fe282ac80",
    "2ff0908080ff",
    "2ff48fbe80",
  ];
  for (const hex of odd) {
    const shown = showKey(keyOf(hex));
    expect(shown.isWellFormed()).toBe(true);
    expect(readShown(Buffer.from(JSON.parse(JSON.stringify(shown)))).toString("hex")).toBe(hex);
  }
  expect(showKey(keyOf("2fc3a9"))).toBe("/é");
});
