// Owns where a value lies below its volume.
//   path      := "/" HH "/" hh "/" name          HH, hh: bytes 0 and 1 of MD5(key), lower-case hex
//   name      := component ("/" component)*      the Base64 of the key, split at its "/"
//   component := "~"                             an empty one: nginx folds "//" and refuses a trailing "/"
//              | (254 characters "~" "/")* 1 to 255 characters      a file name has at most 255 bytes
// Only Base64 that no file system or nginx can store gets a "~"; every other path is the Go program's.
import { type Key } from "./key";
import { limits } from "../limits";

/** The path of a key's value on each of its volumes: `/HH/hh/BASE64` (see the grammar above). */
export function pathOf(key: Key): string {
  Bun.MD5.hash(key, digest);
  const base64 = key.toBase64();
  const isPlain = base64.length <= longestName && !base64.includes("/");
  return `/${hex[digest[0]!]}/${hex[digest[1]!]}/${isPlain ? base64 : storable(base64)}`;
}

/** The key whose value lies at this path; undefined if it is the path of none, or not in the folder of its hash. */
export function keyAt(path: string): Key | undefined {
  const name = path.slice("/HH/hh/".length);
  const base64 = name.includes("~") ? name.replace(/(^|\/)~(?=\/|$)/g, "$1").replaceAll("~/", "") : name;
  const key = new Uint8Array(Buffer.from(base64, "base64")) as Key;
  const valid = key[0] === 0x2f && key.length <= limits.keyBytes;
  return valid && pathOf(key) === path ? key : undefined;
}

const digest = new Uint8Array(16);
const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const longestName = 255;
const pieceChars = 254;

function storable(base64: string): string {
  const isStorable = /^(?!\/)(?!.*\/\/)(?!.*\/$)[^/]{1,255}(\/[^/]{1,255})*$/.test(base64);
  return isStorable ? base64 : base64.split("/").map(split).join("/");
}

function split(component: string): string {
  if (component === "") return "~";
  if (component.length <= longestName) return component;
  const pieces = component.match(new RegExp(`.{1,${pieceChars}}`, "g"))!;
  return pieces.join("~/");
}
