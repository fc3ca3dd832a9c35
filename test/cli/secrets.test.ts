// Files of secrets: what they may hold, and what is said of one that holds something else.
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { readS3Keys } from "../../src/cli/secrets";
import { temporaryFolder } from "../support/folder";

test.each<[text: string, outcome: string | Record<string, string>]>([
  ["# of the backup\n\nbackup:secret-1\r\nweb:secret:2 \n", { backup: "secret-1", web: "secret:2" }],
  ["backup:secret-1\nbackup:secret-2\n", ": line 2 names backup again"],
  ["# nobody yet\n\n", " has no line ACCESSKEY:SECRET"],
  ["", " has no line ACCESSKEY:SECRET"],
  ["backup:short\n", ": line 1 is not ACCESSKEY:SECRET, with a secret of at least 8 characters"],
])("a file of access keys with %p", async (text, outcome) => {
  await using folder = temporaryFolder();
  const file = join(folder.path, "keys");
  writeFileSync(file, text, { mode: 0o600 });
  if (typeof outcome === "string") expect(() => readS3Keys(file)).toThrow(`-s3keys ${file}${outcome}`);
  else expect(Object.fromEntries(readS3Keys(file))).toEqual(outcome);
});
