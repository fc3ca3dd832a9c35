// Owns the question whether memory may have been lost since: which start of the machine this is, and which mount of a disk.
import { existsSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { uptime } from "node:os";
import { basename } from "node:path";

/** An id of this start of the machine. */
export function bootId(): string {
  const id = read("/proc/sys/kernel/random/boot_id");
  return (id || Bun.spawnSync(["sysctl", "-n", "kern.bootsessionuuid"]).stdout.toString()).trim();
}

/** Milliseconds since the start of the machine: unlike the wall clock, never set. */
export function sinceBootMs(): number {
  return Number(read("/proc/uptime").split(" ", 1)[0]) * 1000 || uptime() * 1000;
}

/**
 * An id of the mount of the file system that holds this folder, the same in every container and unit; empty where there is no
 * telling, as with btrfs and ZFS. Numbers of mounts and of their groups will not do: they differ by container, or are given
 * again. What the kernel shows of a mounted file system below /sys has a number that is never given again.
 */
export function mountId(folder: string): string {
  const { dev } = statSync(folder);
  const numbers = `${(dev >>> 8) & 0xfff}:${(dev & 0xff) | ((dev >>> 12) & 0xfff00)}`; // As Linux packs them.
  try {
    const device = basename(readlinkSync(`/sys/dev/block/${numbers}`));
    const shown = ["ext4", "xfs", "f2fs"].map((type) => `/sys/fs/${type}/${device}`).find((path) => existsSync(path));
    return shown ? String(statSync(shown, { bigint: true }).ino) : "";
  } catch {
    return "";
  }
}

/** A file of the system; empty where there is none. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
