// Owns small disks whose power can be cut: an ext4 image behind a loop device each. It takes root and loop devices.
//
// The image is copied while the writes go on, and the copy is mounted. A plain copy of an image that is mounted is no
// power cut: it takes time, and the kernel's own threads write meanwhile, though all processes be stopped; the copy then
// holds a mixture that no disk has ever held. So the writing is cut off first, by ext4's own shutdown request without a
// flush (EXT4_IOC_SHUTDOWN, as the test suite of the file systems uses it): from that instant on nothing more goes to
// the image, neither data that waits in memory nor the running transaction of the journal, and every write and fsync
// fails. What ext4 has handed to the device before counts as on the disk: the cache of the drive is not part of it.
import { dlopen } from "bun:ffi";
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "../support/folder";
import { until } from "../support/until";

const SHUTDOWN = 0x80_04_58_7d; // _IOR('X', 125, __u32)
const WITHOUT_FLUSH = 2;
const IMAGE_BYTES = 192 * 1024 * 1024;

const mounted = new Set<string>();
process.on("exit", () => [...mounted].forEach(unmountAtLast));

export interface CutDisk extends AsyncDisposable {
  /** A folder on the disk, which everybody may enter. */
  path: string;
  /** Brings to the disk what is in memory, as the kernel does by itself in time. */
  flush(): void;
  /** From now on nothing reaches the disk. */
  cut(): void;
  /** After a cut: copies the image, which may still be in use. */
  copy(): Promise<void>;
  /** Mounts the copy in the place of the image, whose users have ended; the journal is replayed by that. */
  recover(): Promise<void>;
}

/** Why no power can be cut here; undefined if it can. Tests that need it are skipped then. */
export async function whyNoCut(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return "not root";
  try {
    await using disk = cutDisk();
    disk.cut();
    await disk.copy();
    await disk.recover();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** A new empty disk. */
export function cutDisk(): CutDisk {
  const folder = temporaryFolder();
  const image = join(folder.path, "image");
  const mount = join(folder.path, "mount");
  const path = join(mount, "data");
  mkdirSync(mount);
  writeFileSync(image, "");
  truncateSync(image, IMAGE_BYTES);
  run("mkfs.ext4", "-q", "-F", image);
  mountImage(image, mount);
  mkdirSync(path);
  chmodSync(path, 0o755);
  run("sync", "-f", path);
  return {
    path,
    flush: () => run("sync", "-f", path),
    cut: () => shutDown(mount),
    async copy() {
      await until(() => isIdle(mount), { what: "what was on its way to the disk at the cut has arrived" });
      run("cp", "--sparse=always", image, `${image}.copy`);
    },
    async recover() {
      await until(() => isUnmounted(mount), { what: "nobody uses the disk any more" });
      mounted.delete(mount);
      renameSync(`${image}.copy`, image);
      mountImage(image, mount);
    },
    async [Symbol.asyncDispose]() {
      unmountAtLast(mount);
      rmSync(folder.path, { recursive: true, force: true });
    },
  };
}

/** The journal is committed every second, not every five: a trial need not last so long to see what that does. */
function mountImage(image: string, mount: string): void {
  run("mount", "-t", "ext4", "-o", "loop,commit=1", image, mount);
  mounted.add(mount);
}

function shutDown(mount: string): void {
  libc ??= dlopen("libc.so.6", { ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" } });
  const file = openSync(mount, "r");
  try {
    if (libc.symbols.ioctl(file, SHUTDOWN, new Uint32Array([WITHOUT_FLUSH])) !== 0) {
      throw new Error(`ext4 cannot be shut down at ${mount}`);
    }
  } finally {
    closeSync(file);
  }
}

/** Tries to unmount: a process that has been killed may take a moment to let go. */
function isUnmounted(mount: string): boolean {
  return Bun.spawnSync(["umount", mount]).success;
}

/** Whether the loop device below has no request under way. */
function isIdle(mount: string): boolean {
  const { dev } = statSync(mount);
  const device = `${(dev >> 8) & 0xfff}:${dev & 0xff}`;
  return /^\s*0\s+0\s*$/.test(readFileSync(`/sys/dev/block/${device}/inflight`, "utf8"));
}

let libc: ReturnType<typeof dlopen<{ ioctl: { args: ["i32", "u64", "ptr"]; returns: "i32" } }>> | undefined;

/** Lazily if need be: the loop device goes when the last file there is closed. */
function unmountAtLast(mount: string): void {
  if (!mounted.delete(mount)) return;
  Bun.spawnSync(["umount", "-l", mount]);
}

function run(...command: string[]): void {
  const env = { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
  const { success, stderr } = Bun.spawnSync(command, { env });
  if (!success) throw new Error(`${command.join(" ")}: ${stderr.toString().trim().split("\n", 1)[0]}`);
}
