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
  const hash = new Bun.CryptoHasher("md5").update(key).digest("hex");
  const base64 = Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString("base64");
  const name = storable.test(base64) ? base64 : base64.split("/").map(split).join("/");
  return `/${hash.slice(0, 2)}/${hash.slice(2, 4)}/${name}`;
}

/** The key whose value lies at this path; undefined if it is the path of none, or not in the folder of its hash. */
export function keyAt(path: string): Key | undefined {
  const [root, , , ...pieces] = path.split("/");
  if (root !== "" || pieces.length === 0) return undefined;
  let base64 = "";
  for (const [at, piece] of pieces.entries()) {
    const continues = piece.endsWith("~") && piece !== "~";
    base64 += piece.replace(/~$/, "");
    if (!continues && at < pieces.length - 1) base64 += "/";
  }
  const key = new Uint8Array(Buffer.from(base64, "base64")) as Key;
  const valid = key[0] === 0x2f && key.length <= limits.keyBytes;
  return valid && pathOf(key) === path ? key : undefined;
}

const storable = /^(?!\/)(?!.*\/\/)(?!.*\/$)[^/]{1,255}(\/[^/]{1,255})*$/;
const pieceChars = 254;

function split(component: string): string {
  if (component === "") return "~";
  if (component.length <= 255) return component;
  const pieces = component.match(new RegExp(`.{1,${pieceChars}}`, "g"))!;
  return pieces.join("~/");
}
