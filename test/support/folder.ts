// Owns temporary folders: made for one test or file, removed when that disposes of them.
import { chmodSync, mkdtempSync } from "node:fs";
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
