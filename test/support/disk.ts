// Owns small disks that can be full: a tmpfs each, unmounted by whoever made it, at the latest when the test runner leaves.
import { join } from "node:path";
import { temporaryFolder, type Folder } from "./folder";
import { existsSync, mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { until } from "./until";

const mounted = new Set<string>();
process.on("exit", () => mounted.forEach(unmount));

export interface Disk extends AsyncDisposable {
  /** Where it is mounted. */
  path: string;
  /** Takes all of its space but so many bytes. */
  fill(leaveBytes: number): Promise<void>;
  /** Gives back what `fill` took. */
  clear(): void;
  resize(bytes: number): void;
  /** Mounts it read-only, as the kernel does with a file system that fails. */
  protect(): void;
  /** Has nothing on it executed. */
  forbidExecution(): void;
}

/** Why this machine lets nobody mount a disk here; undefined if it does. Tests that need one are skipped then. */
export function whyNoDisk(): string | undefined {
  if (process.getuid?.() !== 0) return "not root";
  const folder = temporaryFolder();
  try {
    mount(folder.path, 1_000_000);
    unmount(folder.path);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  } finally {
    rmSync(folder.path, { recursive: true, force: true });
  }
}

/** A new empty disk of this size. */
export function smallDisk(bytes: number): Disk {
  const folder: Folder = temporaryFolder();
  const path = join(folder.path, "disk");
  const filler = join(path, ".filler");
  mkdirSync(path);
  mount(path, bytes);
  return {
    path,
    async fill(leaveBytes) {
      const disks = () => readdirSync(path).filter((name) => name.startsWith("sv"));
      const areNoted = () => disks().every((name) => existsSync(join(path, name, "mkv/epoch")));
      await until(areNoted, { what: "what the master notes there first" });
      const { bavail, bsize } = statfsSync(path);
      writeFileSync(filler, Buffer.alloc(Math.max(0, bavail * bsize - leaveBytes)));
    },
    clear: () => rmSync(filler, { force: true }),
    resize: (bytes) => run("mount", "-o", `remount,size=${bytes}`, path),
    protect: () => run("mount", "-o", "remount,ro", path),
    forbidExecution: () => run("mount", "-o", "remount,noexec", path),
    async [Symbol.asyncDispose]() {
      unmount(path);
      await folder[Symbol.asyncDispose]();
    },
  };
}

function mount(path: string, bytes: number): void {
  run("mount", "-t", "tmpfs", "-o", `size=${bytes},mode=755`, "tmpfs", path);
  mounted.add(path);
}

/** Lazily: whatever still has a file open there shall not keep the name. */
function unmount(path: string): void {
  mounted.delete(path);
  run("umount", "-l", path);
}

function run(...command: string[]): void {
  const { success, stderr } = Bun.spawnSync(command);
  if (!success) throw new Error(`${command.join(" ")}: ${stderr.toString().trim()}`);
}
