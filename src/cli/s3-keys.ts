// Owns the file of -s3keys: who may use the S3 port.
//   file := (key ":" secret | "#" comment | "")*      a line each; key := 3 or more of A-Z a-z 0-9 . _ -
import { readFileSync, statSync } from "node:fs";
import { MkvError, reasonOf } from "../errors";

/** Reads the secrets by their access keys. Throws MkvError failed. */
export function readS3Keys(file: string): ReadonlyMap<string, string> {
  const fail = (why: string) => new MkvError("failed", `-s3keys ${file}${why}`);
  let text: string;
  try {
    if ((statSync(file).mode & 0o004) !== 0) throw fail(` can be read by everybody: chmod o-r ${file}`);
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw error instanceof MkvError ? error : fail(`: ${reasonOf(error)}`);
  }
  const secrets = new Map<string, string>();
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.startsWith("#")) continue;
    const [, key, secret] = /^([A-Za-z0-9._-]{3,128}):(\S{8,})\s*$/.exec(line) ?? [];
    if (key === undefined || secret === undefined)
      throw fail(`: line ${i + 1} is not ACCESSKEY:SECRET, with a secret of at least 8 characters`);
    if (secrets.has(key)) throw fail(`: line ${i + 1} names ${key} again`);
    secrets.set(key, secret);
  }
  if (secrets.size === 0) throw fail(" has no line ACCESSKEY:SECRET");
  return secrets;
}
