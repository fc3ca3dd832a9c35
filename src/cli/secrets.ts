// Owns the files of secrets, which must not be readable by everybody.
//   -linkkey  file := key "\n" (key "\n"?)?     the first signs; volumes accept both      key := 32 or more of A-Z a-z 0-9 + / = _ -
//   -s3keys   file := (key ":" secret | "#" comment | "")*      a line each; key := 3 or more of A-Z a-z 0-9 . _ -
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { MkvError, reasonOf } from "../errors";
import { type LinkKey } from "../volumes/signer";

/** Reads the key that signs. Throws MkvError failed. */
export function readLinkKey(file: string): LinkKey {
  const fail = failureOf("-linkkey", file);
  const lines = readSecret(file, fail)
    .split("\n")
    .filter((line) => line !== "");
  if (lines.length !== 1 && lines.length !== 2) throw fail(" has to have one line, or two while keys change");
  if (!lines.every((line) => /^[A-Za-z0-9+/=_-]{32,}$/.test(line)))
    throw fail(": a key is a line of at least 32 letters and digits: head -c 32 /dev/urandom | base64");
  const secret = lines[0]!;
  return { secret, name: createHash("md5").update(secret).digest("hex").slice(0, 8) };
}

/** Reads the secrets of the S3 port by their access keys. Throws MkvError failed. */
export function readS3Keys(file: string): ReadonlyMap<string, string> {
  const fail = failureOf("-s3keys", file);
  const secrets = new Map<string, string>();
  for (const [i, line] of readSecret(file, fail).split(/\r?\n/).entries()) {
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

function failureOf(flag: string, file: string) {
  return (why: string) => new MkvError("failed", `${flag} ${file}${why}`);
}

function readSecret(file: string, fail: (why: string) => MkvError): string {
  try {
    if ((statSync(file).mode & 0o004) === 0) return readFileSync(file, "utf8");
  } catch (error) {
    throw fail(`: ${reasonOf(error)}`);
  }
  throw fail(` can be read by everybody: chmod o-r ${file}`);
}
