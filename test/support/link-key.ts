// Owns link keys: their files, and what whoever knows one may say. It has an opinion of its own of how sums are made.
import { createHash } from "node:crypto";
import { chownSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const md5 = (text: string) => createHash("md5").update(text);

/** A key that is good enough. */
export function newKey(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64");
}

/** Writes keys into a file that root and nobody, who serves volumes that root starts, may read. */
export function keyFile(folder: string, { name = "link.key", keys }: { name?: string; keys: string[] }): string {
  const path = join(folder, name);
  writeFileSync(path, `${keys.join("\n")}\n`, { mode: 0o600 });
  if (process.getuid!() === 0) chownSync(path, 65534, 0);
  return path;
}

export interface Said {
  key: string;
  method?: string;
  path: string;
  until: number;
  destination?: string;
}

/** Seconds since the epoch, so many from now. */
export function secondsFromNow(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds;
}

function sumOf({ key, method = "GET", path, until, destination = "" }: Said): string {
  return md5(`${key} ${until} ${method} ${path} ${destination} ${key}`).digest("base64url");
}

/** The header lines of a request that is signed. */
export function signed(said: Said): Record<string, string> {
  const headers = { "Mkv-Until": String(said.until), "Mkv-Sum": sumOf(said), "Mkv-Key": nameOf(said.key) };
  return said.destination === undefined ? headers : { ...headers, Destination: said.destination };
}

/** A path with the query that makes it a link. */
export function linkTo(said: Said): string {
  return `${said.path}?until=${said.until}&sum=${sumOf(said)}&key=${nameOf(said.key)}`;
}

function nameOf(key: string): string {
  return md5(key).digest("hex").slice(0, 8);
}
