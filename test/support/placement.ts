// Owns a second opinion on where values belong, written from the format's description and not from the program.
import { createHash } from "node:crypto";

const LONGEST_NAME = 255;
const PIECE = 254;
const DEEPEST = 8;

export interface Layout {
  volumes: string[];
  replicas?: number;
  subvolumes?: number;
}

/** `/HH/hh/BASE64` of a key, with `~` where no file system could store the plain form, and `_` where that makes many folders. */
export function pathOf(key: string | Uint8Array): string {
  const base64 = Buffer.from(key as string).toString("base64");
  const names = base64.split("/").flatMap(storableNames);
  const isDeep = names.length > DEEPEST && names.join("/") !== base64;
  return hashFolder(key) + (isDeep ? storableNames(base64.replace(/\+/g, "-").replace(/\//g, "_")) : names).join("/");
}

/** Where version 0.1.0 put it. */
export function earlierPathOf(key: string | Uint8Array): string {
  const base64 = Buffer.from(key as string).toString("base64");
  return hashFolder(key) + base64.split("/").flatMap(storableNames).join("/");
}

/** Where the Go program has it: nginx makes one "/" of several. */
export function foldedPathOf(key: string | Uint8Array): string {
  return (
    hashFolder(key) +
    Buffer.from(key as string)
      .toString("base64")
      .replace(/\/+/g, "/")
  );
}

/** The volumes of a key, in the order of the record. */
export function placedOn(key: string | Uint8Array, { volumes, replicas = 3, subvolumes = 10 }: Layout): string[] {
  const bytes = Buffer.from(key as string);
  const scored = volumes.map((volume) => ({ volume, score: md5(Buffer.concat([bytes, Buffer.from(volume)])) }));
  scored.sort((a, b) => Buffer.compare(b.score, a.score));
  return scored.slice(0, replicas).map(({ volume, score }) => {
    if (subvolumes === 1) return volume;
    const number = score.readUInt32BE(12) % subvolumes;
    return `${volume}/sv${number.toString(16).toUpperCase().padStart(2, "0")}`;
  });
}

function hashFolder(key: string | Uint8Array): string {
  const hash = md5(Buffer.from(key as string)).toString("hex");
  return `/${hash.slice(0, 2)}/${hash.slice(2, 4)}/`;
}

function storableNames(component: string): string[] {
  if (component === "") return ["~"];
  if (component.length <= LONGEST_NAME) return [component];
  const pieces = component.match(new RegExp(`.{1,${PIECE}}`, "g")) ?? [];
  return pieces.map((piece, i) => (i < pieces.length - 1 ? `${piece}~` : piece));
}

function md5(bytes: Uint8Array): Buffer {
  return createHash("md5").update(bytes).digest();
}
