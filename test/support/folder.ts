// Owns temporary folders: made for one test or file, removed when that disposes of them.
import { chmodSync, cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Folder extends AsyncDisposable {
  path: string;
}

/** A new empty folder, open to the user that nginx may run its workers as. */
export function temporaryFolder(): Folder {
  const path = mkdtempSync(join(tmpdir(), "mkv-test-"));
  chmodSync(path, 0o755);
  return {
    path,
    async [Symbol.asyncDispose]() {
      const rm = Bun.spawn(["rm", "-rf", "--", path], { stderr: "pipe" }); // Folders a thousand deep are slow from here.
      if ((await rm.exited) !== 0) throw new Error(`rm ${path}: ${(await rm.stderr.text()).trim()}`);
    },
  };
}

/** Copies a folder in which somebody may be at work: begins anew where a file goes while it is copied. */
export function copyFolder(from: string, to: string): void {
  for (let left = 20; ; left--) {
    try {
      return cpSync(from, to, { recursive: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" || left === 0) throw error;
      rmSync(to, { recursive: true, force: true });
    }
  }
}
