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
  const scored = volumes.map((volume) => ({ volume, score: scoreOf(key, volume) }));
  scored.sort((a, b) => b.score.compare(a.score));
  return scored.map(({ volume, score }) => {
    return subvolumes === 1 ? volume : `${volume}/${subvolume(score.readUInt32BE(12) % subvolumes)}`;
  });
}

/** The folder of a disk, in hex: `sv00`, `sv0A`, `sv100`. */
export function subvolume(number: number): string {
  return (names[number] ??= `sv${number.toString(16).toUpperCase().padStart(2, "0")}`);
}

function scoreOf(key: Key, volume: string): Buffer {
  const score = Buffer.allocUnsafe(16);
  const bytes = key.length + volume.length;
  if (joined.length < bytes) joined = Buffer.allocUnsafe(bytes);
  joined.set(key);
  joined.write(volume, key.length, "latin1");
  Bun.MD5.hash(joined.subarray(0, bytes), score);
  return score;
}

const names: string[] = [];
let joined = Buffer.allocUnsafe(1024);

/** Whether two lists of volumes are the same, order included. */
export function sameVolumes(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((volume, i) => volume === b[i]);
}
