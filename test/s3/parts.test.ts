// What is kept of the parts that an object was made of.
import { expect, test } from "bun:test";
import { partOf, partsAttribute } from "../../src/api/s3/parts";

test("the lengths of 10,000 parts are kept in a few bytes; those of parts that are all unlike are not", () => {
  const seen = (attributes: Record<string, string>) => {
    const record = { state: "live" as const, md5: "0".repeat(32), volumes: [] };
    return { record, bytes: 0, modified: "", attributes: { etag: "0-1", ...attributes } };
  };
  const alike = partsAttribute([...Array<number>(9_999).fill(5), 3]);
  expect(alike).toEqual({ parts: "9999*5,1*3" });
  expect(partOf(10_000, seen(alike))).toEqual({ range: { from: 49_995, bytes: 3 }, isPart: true, count: 10_000 });
  const lengths = Array.from({ length: 32 }, (_, i) => i);
  expect(partOf(32, seen(partsAttribute(lengths))).range).toEqual({ from: 465, bytes: 31 });
  const unlike = partsAttribute([...lengths, 32]);
  expect(unlike).toEqual({});
  expect(() => partOf(1, seen(unlike))).toThrow("differ too much");
});
