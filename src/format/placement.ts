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
  const scored = volumes.map((volume) => ({
    volume,
    score: new Bun.CryptoHasher("md5").update(key).update(volume).digest(),
  }));
  scored.sort((a, b) => b.score.compare(a.score));
  return scored.map(({ volume, score }) => {
    if (subvolumes === 1) return volume;
    const number = score.readUInt32BE(12) % subvolumes;
    return `${volume}/sv${number.toString(16).toUpperCase().padStart(2, "0")}`;
  });
}

/** Whether two lists of volumes are the same, order included. */
export function sameVolumes(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((volume, i) => volume === b[i]);
}
