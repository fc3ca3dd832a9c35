// Owns the key: the percent-decoded path of a request as bytes, leading "/" included. It need not be UTF-8.
import { isUtf8 } from "node:buffer";
import { MkvError } from "../errors";
import { limits } from "../limits";

/** The bytes of a key, checked: begins with "/", 1 to 1,024 bytes. */
export type Key = Uint8Array & { readonly __brand: "Key" };

/**
 * The key that the path of a URL names.
 * @param path as sent, percent-encoded, without the query
 * @throws MkvError bad-request for a broken escape, key-too-long over 1,024 bytes
 */
export function parseKey(path: string): Key {
  if (path.includes(replacement)) {
    const escape = replacement.toLowerCase();
    throw new MkvError("bad-request", `percent-encode bytes that are not UTF-8; U+FFFD itself is ${escape} here`);
  }
  const key = path.includes("%") ? decodePercent(path) : utf8.encode(path);
  if (key.length > limits.keyBytes) {
    throw new MkvError("key-too-long", `the key has ${key.length} bytes; at most ${limits.keyBytes} are allowed`);
  }
  return key as Uint8Array as Key;
}

/** The bytes of percent-encoded text; throws MkvError bad-request for a broken escape. */
export function decodePercent(text: string): Buffer {
  const bytes = Buffer.from(text, "utf8");
  let length = bytes.indexOf(percent);
  if (length < 0) return bytes;
  for (let at = length; at < bytes.length; at++) {
    let byte = bytes[at]!;
    if (byte === percent) {
      const digits = bytes.toString("latin1", at + 1, at + 3);
      if (!/^[0-9a-fA-F]{2}$/.test(digits)) throw new MkvError("bad-request", `bad percent-encoding at "%${digits}"`);
      byte = Number.parseInt(digits, 16);
      at += 2;
    }
    bytes[length++] = byte;
  }
  return bytes.subarray(0, length);
}

/** The path of a URL that names this key: `parseKey` undone, for redirects and requests of our own. */
export function encodePercent(key: Key): string {
  return Buffer.from(key)
    .toString("latin1")
    .replace(/[^A-Za-z0-9/._~!$'()*,;:@=-]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`)
    .replaceAll(replacement, replacement.toLowerCase());
}

/**
 * A key as text that survives JSON and a URL and can be told back: UTF-8 as it is; a byte that is not part of any
 * becomes the code point U+10FF00 + byte, and so do the bytes of such code points themselves.
 */
export function showKey(key: Uint8Array): string {
  const bytes = Buffer.from(key.buffer, key.byteOffset, key.byteLength);
  if (isUtf8(bytes) && !bytes.includes(escapeLead)) return bytes.toString("utf8");
  let text = "";
  for (let at = 0; at < bytes.length;) {
    const character = bytes.subarray(at, at + utf8Length(bytes[at]!));
    const plain = isUtf8(character) && character.indexOf(escapeLead) !== 0;
    text += plain ? character.toString("utf8") : String.fromCodePoint(escapeBase + bytes[at]!);
    at += plain ? character.length : 1;
  }
  return text;
}

/** Whether a key that was decoded as UTF-8, whatever it is, is as `showKey` shows it. */
export function isShown(decoded: string): boolean {
  return !/[\ufffd\udbfc-\udbff]/.test(decoded); // Not what stands for anything, nor what `showKey` escapes.
}

/** The bytes that `showKey` showed; plain text and raw bytes pass through. */
export function readShown(shown: Uint8Array): Buffer {
  const bytes = Buffer.from(shown);
  let length = 0;
  for (let at = 0; at < bytes.length; at++) {
    const escaped =
      bytes[at] === 0xf4 && bytes[at + 1] === 0x8f && (bytes[at + 2] ?? 0) >= 0xbe && at + 3 < bytes.length;
    bytes[length++] = escaped ? ((bytes[at + 2]! & 3) << 6) | (bytes[at + 3]! & 63) : bytes[at]!;
    if (escaped) at += 3;
  }
  return bytes.subarray(0, length);
}

/** The key that a text shows. */
export function keyOf(shown: string): Key {
  return readShown(Buffer.from(shown)) as Uint8Array as Key;
}

/** The least key after this one. */
export function keyAfter(key: Uint8Array): Uint8Array {
  return Buffer.concat([key, new Uint8Array(1)]);
}

/** The first key after all that begin with this prefix; undefined if there is none. */
export function prefixEnd(prefix: Uint8Array): Uint8Array | undefined {
  const end = Uint8Array.from(prefix);
  for (let last = end.length - 1; last >= 0; last--) {
    if (end[last] === 0xff) continue;
    end[last]!++;
    return end.subarray(0, last + 1);
  }
  return undefined;
}

const utf8 = new TextEncoder();
const percent = 0x25;
/** What Bun makes of any byte that is not UTF-8 and was not escaped: keys would fall together. */
const replacement = "%EF%BF%BD";
const escapeBase = 0x10ff00;
const escapeLead = Buffer.from([0xf4, 0x8f]);

function utf8Length(lead: number): number {
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}
