// Owns where a key belongs: rendezvous hashing over the configured volumes, as the Go program does it.
import { type Key } from "./key";

/** The cluster as configured. Volumes are `host:port` or `host:port/path`; 1 <= replicas <= volumes.length. */
export type Topology = {
  readonly volumes: readonly string[];
  readonly replicas: number;
  /** Disks of a volume server, named `sv00`, `sv01`, ...; 1 means that there are no such folders. */
  readonly subvolumes: number;
};

/** The volumes, with their subvolume, on which a key belongs, in order. */
export function place(key: Key, topology: Topology): string[] {
  return best(key, topology, topology.replicas);
}

/**
 * All volumes, with their subvolume, in the order in which this key prefers them: by MD5(key + volume), descending.
 * Source: format.md, "Volumes of a key" (minikeyvalue's key2volume).
 */
export function rank(key: Key, topology: Topology): string[] {
  return best(key, topology, topology.volumes.length);
}

/** The folder of a disk, in hex: `sv00`, `sv0A`, `sv100`. */
export function subvolume(number: number): string {
  return (names[number] ??= `sv${number.toString(16).toUpperCase().padStart(2, "0")}`);
}

/** The disks of a volume; none if it has no folders for them. */
export function disksOf({ subvolumes }: Topology, volume: string): string[] {
  return subvolumes === 1 ? [] : Array.from({ length: subvolumes }, (_, i) => `${volume}/${subvolume(i)}`);
}

/** A volume and its disks: each has an id, and a health of its own. */
export function placesOf(topology: Topology, volume: string): string[] {
  return [volume, ...disksOf(topology, volume)];
}

/** Where the values of a volume lie: on its disks, if it has any. */
export function valuePlaces(topology: Topology, volume: string): string[] {
  const disks = disksOf(topology, volume);
  return disks.length > 0 ? disks : [volume];
}

/** The first so many: each is the best of those that are left. Few are wanted, and a sort would allocate. */
function best(key: Key, { volumes, subvolumes }: Topology, count: number): string[] {
  score(key, volumes);
  const chosen: string[] = [];
  while (chosen.length < count) {
    let at = 0;
    for (let i = 1; i < volumes.length; i++) if (isBefore(i, at)) at = i;
    const disk = scores[at * fields + last]! % subvolumes;
    chosen.push(subvolumes === 1 ? volumes[at]! : `${volumes[at]}/${subvolume(disk)}`);
    scores[at * fields] = -1; // It is taken.
  }
  return chosen;
}

/** Writes down the MD5 of each volume as numbers, in `scores`: 6, 6 and 4 bytes of it. */
function score(key: Key, volumes: readonly string[]): void {
  if (scores.length < volumes.length * fields) scores = new Float64Array(volumes.length * fields);
  for (let i = 0; i < volumes.length; i++) {
    const volume = volumes[i]!;
    const bytes = key.length + volume.length;
    if (joined.length !== bytes) joined = new Uint8Array(bytes); // Most names of volumes are of one length.
    joined.set(key);
    for (let at = 0; at < volume.length; at++) joined[key.length + at] = volume.charCodeAt(at);
    Bun.MD5.hash(joined, digest);
    scores[i * fields] = words.getUint32(0) * 0x10000 + words.getUint16(4);
    scores[i * fields + 1] = words.getUint16(6) * 0x100000000 + words.getUint32(8);
    scores[i * fields + last] = words.getUint32(12);
  }
}

function isBefore(one: number, other: number): boolean {
  for (let field = 0; field < fields; field++) {
    const difference = scores[one * fields + field]! - scores[other * fields + field]!;
    if (difference !== 0) return difference > 0;
  }
  return false;
}

const names: string[] = [];
const digest = new Uint8Array(16);
const words = new DataView(digest.buffer);
const fields = 3;
const last = 2;
let joined = new Uint8Array();
let scores = new Float64Array();
