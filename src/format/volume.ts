// Owns the name of a volume, as `-volumes` and records have it, and lists of such names.
//   volume := server path? disk?        in records; `-volumes` names them without the disk
//   server := host ":" port             path := ("/" name)+             disk := "/sv" XX, two or more upper-case hex digits
import { type Topology } from "./placement";

const host = String.raw`(?:[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\])`;
const serverName = new RegExp(`^${host}:(\\d{1,5})$`);
const volumeName = new RegExp(`^(?!DELETED|HASH)(${host}:\\d{1,5})(?:/[A-Za-z0-9_.~-]+)*$`);
const disk = /\/sv[0-9A-F]{2,}$/;

/** Whether this is `host:port`. */
export function isServerName(text: string): boolean {
  const port = serverName.exec(text)?.[1];
  return port !== undefined && Number(port) <= 65_535;
}

/** Whether this is a volume as `-volumes` names it: `host:port` or `host:port/path`. */
export function isVolumeName(text: string): boolean {
  const server = volumeName.exec(text)?.[1];
  return server !== undefined && isServerName(server);
}

/** The server of a volume: `host:port` of `host:port/path/sv07`. */
export function serverOf(volume: string): string {
  const slash = volume.indexOf("/");
  return slash < 0 ? volume : volume.slice(0, slash);
}

/** What a volume is below its server: `/path/sv07` of `host:port/path/sv07`. */
export function belowServer(volume: string): string {
  return volume.slice(serverOf(volume).length);
}

/** The volume, as `-volumes` names it, that a disk is of; a volume itself. */
export function volumeOf(name: string): string {
  return name.replace(disk, "");
}

/** The volume that a name is or is a disk of: some are named as disks are. */
export function ownerOf({ volumes }: Topology, name: string): string {
  return volumes.includes(name) ? name : volumeOf(name);
}

/** Whether a volume, or the one that it is a disk of, is one of the store's. */
export function isConfigured(topology: Topology, name: string): boolean {
  return topology.volumes.includes(ownerOf(topology, name));
}

/** The volumes that these are of, in order. */
export function volumesOf(items: readonly { readonly volume: string }[]): string[] {
  return items.map(({ volume }) => volume);
}

/** Whether two lists of volumes are the same, order included. */
export function sameVolumes(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** The volumes of both lists, each once, in order. */
export function union(a: readonly string[], b: readonly string[]): string[] {
  return [...new Set([...a, ...b])];
}

/** The volumes of `a` that are not in `b`. */
export function without(a: readonly string[], b: readonly string[]): string[] {
  return a.filter((volume) => !b.includes(volume));
}
