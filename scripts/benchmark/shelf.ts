// Owns the values that are put on volumes without a master: files where the format wants them, and nginx's own.
import { chownSync, closeSync, fchownSync, mkdirSync, openSync, readFileSync, readdirSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { type Key } from "../../src/format/key";
import { pathOf } from "../../src/format/path";
import { type Topology, place } from "../../src/format/placement";
import { type Cluster } from "./cluster";
import { demand } from "./failure";

/** A value's place: its path, and the volumes in the order of its record. */
export type Placed = { readonly path: string; readonly volumes: readonly string[] };

/** The key with this number; keys sort as their numbers do. All are ASCII that a URL takes as it is. */
export function keyOf(number: number): string {
  return `/bench/${String(number).padStart(8, "0")}-${hex(mix(number))}`;
}

/** The value of a key: no two are alike, and no byte is as expected if it is another's. */
export function valueOf(key: string, bytes: number): Buffer {
  const name = Buffer.from(`${key}\n`);
  const value = Buffer.allocUnsafe(bytes);
  for (let at = 0; at < bytes; at += name.length) name.copy(value, at);
  return value;
}

/** Where a key's value belongs. */
export function placeOf(key: string, topology: Topology): Placed {
  const bytes = Buffer.from(key) as Uint8Array as Key;
  return { path: pathOf(bytes), volumes: place(bytes, topology) };
}

/** 32 bits that look random. */
export function mix(number: number): number {
  let bits = Math.imul(number ^ (number >>> 16) ^ 0x9e3779b9, 0x45d9f3b);
  bits = Math.imul(bits ^ (bits >>> 16), 0x45d9f3b);
  return (bits ^ (bits >>> 16)) >>> 0;
}

/** 32 bits as 8 digits. */
export function hex(bits: number): string {
  return (bits >>> 0).toString(16).padStart(8, "0");
}

/** Numbers in random order, the same one for the same seed. */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const all = [...items];
  for (let i = all.length - 1; i > 0; i--) {
    const j = mix(seed * 7919 + i) % (i + 1);
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all;
}

/** Writes files of values onto the volumes of a cluster. */
export class Shelf {
  readonly #cluster: Cluster;
  readonly #owner: { uid: number; gid: number };
  readonly #made = new Set<string>();

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#owner = cluster.owner;
    for (const { folder } of cluster.volumes) this.#made.add(folder);
  }

  /** Writes the value of a key to each of its volumes. */
  store({ path, volumes }: Placed, value: Uint8Array): void {
    for (const volume of volumes) this.#write(this.#cluster.fileOf(volume, path), value);
  }

  #write(file: string, value: Uint8Array): void {
    this.#makeFolder(dirname(file));
    const descriptor = openSync(file, "wx", 0o644);
    demand(writeSync(descriptor, value) === value.length, `${file} could not be written`);
    fchownSync(descriptor, this.#owner.uid, this.#owner.gid);
    closeSync(descriptor);
  }

  #makeFolder(folder: string): void {
    if (this.#made.has(folder)) return;
    this.#makeFolder(dirname(folder));
    mkdirSync(folder);
    chownSync(folder, this.#owner.uid, this.#owner.gid);
    this.#made.add(folder);
  }
}

/** Whether all the places of a value hold it. */
export function isStored(cluster: Cluster, { path, volumes }: Placed, value: Uint8Array): boolean {
  return volumes.every((volume) => {
    try {
      return readFileSync(cluster.fileOf(volume, path)).equals(value);
    } catch {
      return false;
    }
  });
}

/** The folders of values that a walk over a volume lists, as paths, and how many files are in them. */
export function walk(root: string): { folders: string[]; files: number } {
  const found = { folders: [] as string[], files: 0 };
  const enter = (path: string) => {
    found.folders.push(path);
    for (const entry of readdirSync(root + path, { withFileTypes: true })) {
      if (entry.name.startsWith(".")) continue; // Listings leave them out.
      if (entry.name === "mkv") continue; // The ids of volumes and disks, which a rebuild passes over.
      if (entry.isDirectory()) enter(`${path}${entry.name}/`);
      else found.files++;
    }
  };
  enter("/");
  return found;
}
