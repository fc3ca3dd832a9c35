// Owns the file of -linkkey: a secret that nobody else may read.
//   file := key "\n" (key "\n"?)?     the first signs; volumes accept both      key := 32 or more of A-Z a-z 0-9 + / = _ -
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { MkvError, reasonOf } from "../errors";
import { type LinkKey } from "../volumes/signer";

/** Reads the key that signs. Throws MkvError failed. */
export function readLinkKey(file: string): LinkKey {
  const fail = (why: string) => new MkvError("failed", `-linkkey ${file}${why}`);
  let lines: string[];
  try {
    if ((statSync(file).mode & 0o004) !== 0) throw fail(` can be read by everybody: chmod o-r ${file}`);
    lines = readFileSync(file, "latin1")
      .split("\n")
      .filter((line) => line !== "");
  } catch (error) {
    throw error instanceof MkvError ? error : fail(`: ${reasonOf(error)}`);
  }
  if (lines.length !== 1 && lines.length !== 2) throw fail(" has to have one line, or two while keys change");
  if (!lines.every((line) => /^[A-Za-z0-9+/=_-]{32,}$/.test(line)))
    throw fail(": a key is a line of at least 32 letters and digits: head -c 32 /dev/urandom | base64");
  const secret = lines[0]!;
  return { secret, name: createHash("md5").update(secret).digest("hex").slice(0, 8) };
}
