// Owns where a value lies below its volume.
//   path      := "/" HH "/" hh "/" name          HH, hh: bytes 0 and 1 of MD5(key), lower-case hex
//   name      := component ("/" component)*      the Base64 of the key, split at its "/"
//              | flat
//   component := "~"                             an empty one: nginx folds "//" and refuses a trailing "/"
//              | long                            a file name has at most 255 bytes
//   flat      := long                            of URL-safe Base64 (RFC 4648, with padding): "_" stands for "/"
//   long      := (254 characters "~" "/")* 1 to 255 characters
// Only Base64 that no file system or nginx can store gets a "~"; every other path is the Go program's. Where the "~" would
// make more than `deepest` components, as for a key of many bytes 0xFF, the name is flat. Version 0.1.0 had none of those,
// and the Go program lets nginx fold "//": their files of such keys lie at earlier paths.
import { type Key } from "./key";
import { limits } from "../limits";

/** The path of a key's value on each of its volumes: `/HH/hh/BASE64` (see the grammar above). */
export function pathOf(key: Key): string {
  const base64 = key.toBase64();
  const isPlain = base64.length <= longestName && !base64.includes("/");
  return folderOf(key) + (isPlain ? base64 : storable(base64));
}

function folderOf(key: Key): string {
  Bun.MD5.hash(key, digest);
  return `/${hex[digest[0]!]}/${hex[digest[1]!]}/`;
}

/** Where an earlier program may have put the value of this path: version 0.1.0, and before that the Go program. */
export function earlierPathOf(path: string): string | undefined {
  if (!path.includes("_") && !path.includes("/~/")) return undefined; // It is the Go program's.
  const folder = path.slice(0, folders.length);
  const name = path.slice(folders.length).replaceAll("~/", "");
  if (name.includes("_")) return folder + inComponents(name.replaceAll("_", "/").replaceAll("-", "+"));
  const folded = folder + name;
  const key = tooLong.test(name) || name.endsWith("~") ? undefined : unfolded(folded);
  return key && exactKeyAt(path)?.toHex() === key.toHex() ? folded : undefined;
}

/** The key whose value lies at this path; undefined if it is the path of none, or not in the folder of its hash. */
export function keyAt(path: string): Key | undefined {
  return exactKeyAt(path) ?? unfolded(path);
}

function exactKeyAt(path: string): Key | undefined {
  const name = path.slice(folders.length);
  const base64 = name.includes("~") ? name.replace(/(^|\/)~(?=\/|$)/g, "$1").replaceAll("~/", "") : name;
  const key = keyOf(base64);
  const now = key && pathOf(key);
  return now === path || (now?.includes("_") && earlierPathOf(now) === path) ? key : undefined;
}

/** The key whose Base64 nginx has folded to this name; the shortest, where the hash fits several. */
function unfolded(path: string): Key | undefined {
  const name = path.slice(folders.length);
  if (!name.includes("/") || exactKeyAt(path)) return undefined;
  let tries = mostUnfolded;
  for (let missing = 4 - (name.length % 4); missing < limits.keyBytes; missing += 4) {
    for (const base64 of withSlashes(name, missing)) {
      if (tries-- === 0) return undefined;
      const key = keyOf(base64);
      if (key && path.startsWith(folderOf(key)) && key.toBase64().replace(/\/+/g, "/") === name) return key;
    }
  }
  return undefined;
}

/** The name with so many slashes more, each beside one that it has: first all beside the last one. */
function* withSlashes(name: string, more: number): Generator<string> {
  const [first, ...parts] = name.split("/");
  const added = parts.map((_, i) => (i === parts.length - 1 ? more : 0));
  for (;;) {
    yield first + parts.map((part, i) => "/".repeat(1 + added[i]!) + part).join("");
    const last = added.findLastIndex((count) => count > 0);
    if (last < 1) return;
    const left = added[last]! - 1;
    added[last - 1]!++;
    added[last] = 0;
    added[added.length - 1] = left;
  }
}

function keyOf(base64: string): Key | undefined {
  const key = new Uint8Array(Buffer.from(base64, "base64")) as Key; // It reads both alphabets.
  return key[0] === 0x2f && key.length <= limits.keyBytes ? key : undefined;
}

/** The keys whose value would be a file where the path of this one needs a folder: they cannot be on one disk with it. */
export function keysAbove(key: Key): Key[] {
  const path = pathOf(key);
  const above: Key[] = [];
  for (let end = path.indexOf("/", folders.length); end > 0; end = path.indexOf("/", end + 1)) {
    const other = exactKeyAt(path.slice(0, end));
    if (other) above.push(other);
  }
  return above;
}

const digest = new Uint8Array(16);
const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));
const folders = "/HH/hh/";
const longestName = 255;
const pieceChars = 254;
const deepest = 8;
const tooLong = /[^/]{256}/;
/** So many keys are tried for a folded name. */
const mostUnfolded = 100;

function storable(base64: string): string {
  const isStorable = /^[^/]{1,255}(\/[^/]{1,255})*$/.test(base64);
  if (isStorable) return base64;
  const name = inComponents(base64);
  return name.split("/").length > deepest ? cut(base64.replaceAll("+", "-").replaceAll("/", "_")) : name;
}

function inComponents(base64: string): string {
  return base64
    .split("/")
    .map((component) => (component === "" ? "~" : cut(component)))
    .join("/");
}

function cut(name: string): string {
  if (name.length <= longestName) return name;
  const pieces = name.match(new RegExp(`.{1,${pieceChars}}`, "g"))!;
  return pieces.join("~/");
}
