// record := "DELETED"? ("HASH" md5hex)? volume ("," volume)*
import { expect, test } from "bun:test";
import { decodeRecord, encodeRecord } from "../../src/format/record";

const md5 = "0123456789abcdef0123456789abcdef";

test.each([
  ["localhost:3001/sv05", { state: "live", md5: undefined, volumes: ["localhost:3001/sv05"] }],
  [`HASH${md5}a:1,b:2/x/sv00`, { state: "live", md5, volumes: ["a:1", "b:2/x/sv00"] }],
  ["DELETEDa:1", { state: "unlinked", md5: undefined, volumes: ["a:1"] }],
  [`DELETEDHASH${md5}a:1`, { state: "unlinked", md5, volumes: ["a:1"] }],
] as const)("%s is read and written as the Go program does", (text, record) => {
  expect(decodeRecord(text)).toEqual({ ...record, volumes: [...record.volumes] });
  expect(encodeRecord(record)).toBe(text);
});

test.each(["a:1,,b:2", ",a:1", "a:1,", "", "DELETED", `HASH${md5}`, "\0", "a:1\x7f", "a:1,:2", "/sv00", "a:1,/b"])(
  "a damaged record is an error that says what to do: %s",
  (text) => {
    const failure = { code: "corrupt", message: expect.stringContaining("run rebuild") };
    expect(() => decodeRecord(text)).toThrow(expect.objectContaining(failure));
  },
);
