// Owns what can become of a copy on a disk, from behind nginx's back.
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type Cluster } from "../support/cluster";
import { homeOf, indexOf } from "../support/copies";
import { pathOf } from "../support/placement";

export type Damage = "flipped" | "shortened" | "lengthened" | "emptied" | "missing";

/** The file of a key's copy on a volume as records name it. */
export function fileOf(cluster: Cluster, key: string, volume: string): string {
  const [, subvolume = ""] = volume.split("/");
  return join(cluster.volumes[indexOf(cluster, volume)]!.dir, subvolume, pathOf(key));
}

/** Copies that were shortened: each a little further, so that no two agree in what is left of them. */
let shortened = 0;

/** Damages a copy in a way of its own; its time stays, as it does when a disk fails. Flipped twice, it is as it was. */
export function damage(file: string, how: Damage): void {
  const { atimeMs, mtimeMs } = statSync(file);
  const content = readFileSync(file);
  switch (how) {
    case "flipped":
      for (const [i, bits] of createHash("md5").update(file).digest().entries())
        content[(content.length >> 1) + i]! ^= bits;
      writeFileSync(file, content);
      break;
    case "shortened":
      truncateSync(file, (content.length >> 1) - (shortened++ % 8));
      break;
    case "lengthened":
      writeFileSync(file, Buffer.concat([content, content]));
      break;
    case "emptied":
      truncateSync(file, 0);
      break;
    case "missing":
      return rmSync(file);
  }
  utimesSync(file, atimeMs / 1000, mtimeMs / 1000);
}

/** Makes the copies where a key belongs what they should be, if a test has left them otherwise. */
export function mend(cluster: Cluster, key: string, value: Uint8Array, mtimeMs: number): void {
  for (const file of homeOf(cluster, key).map((volume) => fileOf(cluster, key, volume))) {
    if (existsSync(file) && readFileSync(file).equals(value)) continue;
    writeFileSync(file, value);
    utimesSync(file, mtimeMs / 1000, mtimeMs / 1000);
  }
}

/** Makes a file look as if it had been written so long ago. */
export function age(file: string | Buffer, hours: number): void {
  const then = Math.floor(Date.now() / 1000 - hours * 3600); // Whole seconds, as nginx writes them.
  utimesSync(file, then, then);
}

export interface Planted extends Disposable {
  file: Buffer;
}

/** Puts a file onto a volume until it is disposed of, together with the folders that it needs; nginx may remove it. */
export function plant(volume: { dir: string }, path: string | Uint8Array, content: string | Uint8Array): Planted {
  const file = Buffer.concat([Buffer.from(`${volume.dir}/`), Buffer.from(path as string)]);
  let made: Buffer | undefined;
  for (let slash = file.indexOf("/", 1); slash > 0; slash = file.indexOf("/", slash + 1)) {
    const folder = file.subarray(0, slash);
    if (existsSync(folder)) continue;
    mkdirSync(folder);
    chmodSync(folder, 0o777);
    made ??= folder;
  }
  writeFileSync(file, content);
  return { file, [Symbol.dispose]: () => rmSync(made ?? file, { recursive: true, force: true }) };
}

/** A volume on which a key does not belong. */
export function elsewhere(cluster: Cluster, key: string): string {
  return homeOf(cluster, key, cluster.volumes.length).at(-1)!;
}

/** Puts a file onto a volume as records name it, where a copy of this key would lie. */
export function plantOn(
  cluster: Cluster,
  volume: string,
  { key, content = "stray" }: { key: string; content?: string },
): Planted {
  return plant(cluster.volumes[indexOf(cluster, volume)]!, `${volume.split("/")[1]!}${pathOf(key)}`, content);
}
