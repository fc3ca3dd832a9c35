// A MANIFEST is read as LevelDB reads it: what that would refuse is refused, what it would forgive is forgiven.
import { expect, test } from "bun:test";
import { appendFileSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../support/folder";
import { healthy, level, named, whyOf } from "./level";

/** MANIFESTs of one record, with the checksum that it has to have. */
const unfit: [what: string, hex: string, why: string][] = [
  [
    "in another order of keys",
    "16821a4a1400010112616e6f746865722e436f6d70617261746f72",
    "its keys are in the order of another.Comparator, not of leveldb.BytewiseComparator",
  ],
  ["with a part of an unknown kind", "82086af00200050201", "it has a record of the unknown kind 5"],
  ["with a text that is longer than its record", "b5e2b81c030001017f61", "a record is too short"],
];

test("a MANIFEST of many blocks is read, and no record is believed to reach beyond its block", async () => {
  await using at = temporaryFolder();
  await level(at.path, async (db) => {
    const name = (i: number) => String(i).padStart(1000, "0"); // Long keys make a long MANIFEST.
    for (let i = 0; i < 3000; i++) await db.put(name(i), "v".repeat(500));
  });
  const manifest = named(at.path, /^MANIFEST/)[0]!;
  const bytes = readFileSync(join(at.path, manifest));
  expect(bytes.length).toBeGreaterThan(3 * 32 * 1024);
  expect(whyOf(at.path)).toBe("whole");
  bytes.writeUInt16LE(40_000, 4); // More than a block, less than the file.
  writeFileSync(join(at.path, manifest), bytes);
  expect(whyOf(at.path)).toBe(`${manifest} cannot be read: the length of a record is wrong`);
  writeFileSync(join(at.path, manifest), bytes.subarray(32 * 1024));
  expect(whyOf(at.path)).toBe(`${manifest} cannot be read: a part of a record is missing`);
});

test("an index whose MANIFEST is empty, cut down to nothing or changed is damaged", async () => {
  await using at = await healthy();
  const bytes = readFileSync(at.file(at.current));
  const whyWith = (changed: Uint8Array) => {
    writeFileSync(at.file(at.current), changed);
    return whyOf(at.folder);
  };
  const cannot = `${at.current} cannot be read: `;
  expect(whyWith(new Uint8Array())).toBe(`${cannot}it does not say which log is needed`);
  expect(whyWith(bytes.subarray(0, 20))).toBe(`${cannot}it does not say which log is needed`);
  expect(whyWith(bytes.with(40, bytes[40]! ^ 1) as Buffer)).toBe(`${cannot}a checksum is wrong`);
  expect(whyWith(bytes)).toBe("whole");
});

test("a MANIFEST whose last record is torn is read without it, as LevelDB does", async () => {
  await using at = await healthy();
  const { size } = statSync(at.file(at.current));
  appendFileSync(at.file(at.current), new Uint8Array([1, 2, 3, 4, 200, 0, 1, 9]));
  expect(whyOf(at.folder)).toBe("whole");
  appendFileSync(at.file(at.current), new Uint8Array(200));
  expect(whyOf(at.folder)).toBe(`${at.current} cannot be read: a checksum is wrong`);
  truncateSync(at.file(at.current), size);
  appendFileSync(at.file(at.current), new Uint8Array(100));
  expect(whyOf(at.folder)).toBe("whole");
  await level(at.folder, async (db) => expect(await db.get("key-7")).toBe("v".repeat(500)));
});

test.each(unfit)("an index %s is damaged", async (_, hex, why) => {
  await using at = await healthy();
  writeFileSync(at.file(at.current), Buffer.from(hex, "hex"));
  expect(whyOf(at.folder)).toBe(`${at.current} cannot be read: ${why}`);
});
