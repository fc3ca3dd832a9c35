// Owns what a volume says of its disks: the folder of the values and each of its svXX, which may be disks of their own.
import { readdir, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { reasonOf } from "../errors";

/** A disk; the folders of one file system have one `device`. `name` is empty for the folder of the values itself. */
export type Disk = { readonly name: string } & (
  | {
      readonly device: number;
      readonly bytesTotal: number;
      /** What others than root may still use. */
      readonly bytesFree: number;
      /** 0 where the file system has no bound. */
      readonly filesTotal: number;
      readonly filesFree: number;
    }
  | { readonly error: string }
);

/** The disks below a folder, in the order of their names. */
export async function disksOf(dir: string): Promise<Disk[]> {
  const names = (await readdir(dir)).filter((name) => /^sv[0-9A-F]{2,}$/.test(name)).sort();
  return await Promise.all(["", ...names].map((name) => diskAt(dir, name)));
}

async function diskAt(dir: string, name: string): Promise<Disk> {
  try {
    const path = join(dir, name);
    const [{ dev }, { bsize, blocks, bavail, files, ffree }] = await Promise.all([stat(path), statfs(path)]);
    const [bytesTotal, bytesFree] = [blocks * bsize, bavail * bsize];
    return { name, device: dev, bytesTotal, bytesFree, filesTotal: files, filesFree: ffree };
  } catch (error) {
    return { name, error: reasonOf(error) };
  }
}
