// Owns the folder that everything of a run lies in, and the room on its disk.
import { chmodSync, mkdirSync, mkdtempSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { demand } from "./failure";

/** Left free on the disk, whatever a workload needs. */
const reserveBytes = 1_000_000_000;

/** A temporary folder that goes away with all that is in it when it is disposed of. */
export class Home implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "mkv-bench-"));

  constructor() {
    chmodSync(this.path, 0o755); // Started by root, nginx works as another user.
  }

  /** A new folder in it. */
  folder(name: string): string {
    const path = join(this.path, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Removes a folder or file in it. */
  remove(path: string): void {
    demand(path.startsWith(`${this.path}/`), `${path} is not the bench's to remove`);
    Bun.spawnSync(["rm", "-rf", "--", path]);
  }

  /** Throws BenchError if the disk has not so many bytes or so many files left. */
  demandRoom({ bytes, files }: { bytes: number; files: number }): void {
    const disk = statfsSync(this.path);
    const [freeBytes, freeFiles] = [disk.bavail * disk.bsize, disk.ffree];
    const advice = "set TMPDIR to a folder on a larger disk, or lower --scale";
    demand(
      freeBytes >= bytes + reserveBytes,
      `${(freeBytes / 1e9).toFixed(1)} GB are free in ${tmpdir()}, ${((bytes + reserveBytes) / 1e9).toFixed(1)} are needed: ${advice}`,
    );
    const counted = disk.files > 0; // Some file systems have no fixed number of inodes.
    demand(!counted || freeFiles >= files, `${freeFiles} inodes are free in ${tmpdir()}, ${files} needed: ${advice}`);
  }

  /** Waits until what was written is on the disk, so that no run pays for an earlier one. */
  settle(): void {
    Bun.spawnSync(["sync", "-f", this.path]);
  }

  [Symbol.dispose](): void {
    Bun.spawnSync(["rm", "-rf", "--", this.path]);
  }
}
