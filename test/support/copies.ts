// Owns the comparison of what lies on the volumes with where it should lie.
import { type Cluster } from "./cluster";
import { filesAt } from "./files";
import { pathOf, placedOn } from "./placement";
import { md5Hex } from "./values";

/** The MD5 of each copy of a key, by the volume as records name it, in the order of the volumes. */
export function copiesOf(cluster: Cluster, key: string): Record<string, string> {
  const copies: Record<string, string> = {};
  cluster.volumes.forEach(({ dir }, i) => {
    for (const { subvolume, md5 } of filesAt(dir, pathOf(key))) {
      copies[`${cluster.addresses[i]!}${subvolume && `/${subvolume}`}`] = md5;
    }
  });
  return copies;
}

/** What `copiesOf` gives when this value lies on these volumes and nowhere else. */
export function copiesOn(volumes: readonly string[], value: string | Uint8Array): Record<string, string> {
  return Object.fromEntries(volumes.map((volume) => [volume, md5Hex(value)]));
}

/** The volumes to which a key belongs, in order. */
export function homeOf(cluster: Cluster, key: string, replicas = 3): string[] {
  return placedOn(key, { volumes: cluster.addresses, replicas });
}

/** The place in `cluster.volumes` of a volume as records name it. */
export function indexOf(cluster: Cluster, volume: string): number {
  return cluster.addresses.indexOf(volume.split("/", 1)[0]!);
}

/** A key of this name and a number that belongs first of all to this volume of `cluster.volumes`. */
export function keyFirstOn(cluster: Cluster, volume: number, name: string): string {
  for (let i = 0; ; i++) {
    const key = `/${name}-${i}`;
    if (indexOf(cluster, homeOf(cluster, key, 1)[0]!) === volume) return key;
  }
}
