// Owns the way of LevelDB's native addon from inside the executable into the process. Only the build imports it, in the
// place of classic-level's own search for the file (scripts/build.ts).
//
// 1. Nothing that others can write to is trusted: the addon is unpacked anew into a folder of this process alone. (Bun's
//    own unpacking takes whatever lies in the temporary folder under the expected name, and knows no other folder.)
// 2. All threads load the same inode, so that they share one LevelDB and its locks. Locks on files belong to the whole
//    process: a second copy would open an index that is in use, and destroy it.
// 3. Nothing is left behind, where /proc is there even after a kill: the file is unlinked before it is loaded.
import { strict as assert } from "node:assert";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { getEnvironmentData, isMainThread, setEnvironmentData } from "node:worker_threads";
import { MkvError, reasonOf } from "../../errors";

/** Name under which the main thread tells its workers, and nobody else, what to load. */
const SHARED_PATH = "mkv.leveldb-addon";

/**
 * The exports of the addon in the file `embedded`, which is loaded when the first of them is used: a command that opens
 * no index does without, and a failure is thrown to the one who opens an index, not out of an `import`.
 * The main thread must have opened an index before a worker does.
 * @throws MkvError failed: no folder of this machine can be written to and allows execution
 */
export function lazyAddon(embedded: string): object {
  const exports: Record<string | symbol, unknown> = {};
  const notYet = new Proxy(Object.prototype, {
    get(_, name) {
      Object.assign(exports, loadAddon(embedded));
      Object.setPrototypeOf(exports, Object.prototype); // From now on a plain object, as fast as the addon's own.
      return exports[name];
    },
  });
  return Object.setPrototypeOf(exports, notYet) as object;
}

function loadAddon(embedded: string): object {
  if (!isMainThread) {
    const path = getEnvironmentData(SHARED_PATH);
    assert(typeof path === "string", "a worker opened LevelDB before the main thread had loaded it");
    return dlopen(path);
  }
  const bytes = readFileSync(embedded);
  const tried = new Set<string>();
  let firstFailure: unknown;
  for (const candidate of [tmpdir, () => "/var/tmp", () => "/dev/shm", () => dirname(process.execPath), process.cwd]) {
    try {
      const parent = resolve(candidate());
      tried.add(parent);
      const { addon, path } = unpackAndLoad(bytes, parent);
      setEnvironmentData(SHARED_PATH, path);
      return addon;
    } catch (error) {
      firstFailure ??= error; // Read-only, full, or mounted noexec: the next folder may do.
    }
  }
  throw new MkvError(
    "failed",
    `cannot load LevelDB from ${[...tried].join(", ")} (${reasonOf(firstFailure)}): ` +
      "set TMPDIR=/some/folder/that/allows/execution",
    { cause: firstFailure },
  );
}

/** The exports, and a path under which other threads find the same inode for as long as the process lives. */
function unpackAndLoad(bytes: Uint8Array, parent: string): { addon: object; path: string } {
  using undo = new DisposableStack();
  const folder = undo.adopt(mkdtempSync(join(parent, "mkv-")), (made) =>
    rmSync(made, { recursive: true, force: true }),
  );
  const file = join(folder, "leveldb.node");
  writeFileSync(file, bytes, { flag: "wx", mode: 0o700 });
  if (!existsSync("/proc/self/fd")) {
    const addon = dlopen(file);
    const left = undo.move();
    process.on("exit", () => left.dispose());
    return { addon, path: file };
  }
  const descriptor = openSync(file, "r"); // It keeps the file alive, and /proc gives it a name, after it is gone from its folder.
  try {
    undo.dispose();
    const path = `/proc/self/fd/${descriptor}`;
    return { addon: dlopen(path), path };
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

function dlopen(path: string): object {
  const module = { exports: {} };
  process.dlopen(module, path);
  return module.exports;
}
