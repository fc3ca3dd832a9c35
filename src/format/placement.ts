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
  return rank(key, topology).slice(0, topology.replicas);
}

/**
 * All volumes, with their subvolume, in the order in which this key prefers them: by MD5(key + volume), descending.
 * Source: format.md, "Volumes of a key" (minikeyvalue's key2volume).
 */
export function rank(key: Key, { volumes, subvolumes }: Topology): string[] {
  const scored = volumes.map((volume) => scoreOf(key, volume));
  scored.sort((a, b) => b.first - a.first || b.second - a.second || b.last - a.last);
  return scored.map(({ volume, last }) => (subvolumes === 1 ? volume : `${volume}/${subvolume(last % subvolumes)}`));
}

/** The folder of a disk, in hex: `sv00`, `sv0A`, `sv100`. */
export function subvolume(number: number): string {
  return (names[number] ??= `sv${number.toString(16).toUpperCase().padStart(2, "0")}`);
}

/** A volume with its MD5 as numbers: 6, 6 and 4 bytes of it. */
function scoreOf(key: Key, volume: string) {
  const bytes = key.length + volume.length;
  if (joined.length !== bytes) joined = new Uint8Array(bytes); // Most names of volumes are of one length.
  joined.set(key);
  for (let i = 0; i < volume.length; i++) joined[key.length + i] = volume.charCodeAt(i);
  Bun.MD5.hash(joined, digest);
  return {
    volume,
    first: words.getUint32(0) * 0x10000 + words.getUint16(4),
    second: words.getUint16(6) * 0x100000000 + words.getUint32(8),
    last: words.getUint32(12),
  };
}

const names: string[] = [];
const digest = new Uint8Array(16);
const words = new DataView(digest.buffer);
let joined = new Uint8Array();

/** Whether two lists of volumes are the same, order included. */
export function sameVolumes(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((volume, i) => volume === b[i]);
}
