// Owns the values that tests store: the same seed gives the same bytes, and no two seeds the same.
import { createHash } from "node:crypto";

/** Pseudo-random bytes. */
export function valueOf(seed: string | number, bytes = 1_000): Buffer {
  const blocks: Buffer[] = [];
  for (let i = 0; i * 64 < bytes; i++) blocks.push(createHash("sha512").update(`${seed}/${i}`).digest());
  return Buffer.concat(blocks).subarray(0, bytes);
}

export function md5Hex(value: Uint8Array | string): string {
  return createHash("md5").update(value).digest("hex");
}

/** A key as a request target: every byte that is not plainly allowed there as %XX. */
export function targetOf(key: string | Uint8Array): string {
  let target = "";
  for (const byte of Buffer.from(key as string)) {
    const character = String.fromCharCode(byte);
    target += /[A-Za-z0-9._~/-]/.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return target;
}
