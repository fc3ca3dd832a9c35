// Owns the look at a LevelDB folder before LevelDB may open it: opening a folder that lacks CURRENT, or whose MANIFEST
// is an older one, makes an empty or an old index of it, and deletes the tables that it does not know.
// 1. Nothing is written, and LOCK is not touched: to close it again would give up this process's own lock on it.
// 2. Whatever a kill leaves of an index in use is whole: tables and logs that are not named yet or no more, a MANIFEST
//    that CURRENT does not name yet, temporary files. (A log is made before a MANIFEST names it, a table is complete.)
// 3. The folder must be at rest. Looked at while another process works on it, it may seem to be damaged.
import { accessSync, constants, readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { MkvError, reasonOf } from "../../errors";
import { readEpoch } from "../../format/epoch";
import { type Manifest, readManifest } from "./manifest";

/**
 * What lies in a folder: no index, one that LevelDB may open, one that it must not, or something else, which is not ours to
 * replace. `manifest` is the number of the MANIFEST that is in force, and `says` what it says. `why` follows "the index ...:".
 */
export type IndexState =
  | { kind: "none" }
  | { kind: "whole"; manifest: number; says: Manifest }
  | { kind: "damaged"; why: string }
  | { kind: "other"; why: string };

/** What a folder without an index may hold: also what LevelDB leaves if it is killed before it has made one. */
const NOTHING_YET = /^(LOCK|LOG|LOG\.old|lost\+found|MANIFEST-000001|000001\.dbtmp)$/;
const OF_INDEX = /^(\d+\.(ldb|sst|log|dbtmp|tmp)|MANIFEST-\d+|CURRENT.*|EPOCH(\.new)?|LOCK|LOG|LOG\.old)$/;

/**
 * Looks at this folder, which nobody may be at work on.
 * @throws MkvError failed if this user may not: that says nothing of the index
 */
export function inspectIndex(folder: string): IndexState {
  try {
    return inspect(folder);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EACCES" || code === "EPERM")
      throw new MkvError(
        "failed",
        `${folder} cannot be read (${code}): run mkv as the user to whom it belongs, with all that lies in it (chown -R)`,
      );
    return damaged(`it cannot be read: ${reasonOf(error)}`); // What cannot be looked at is not known to be whole.
  }
}

/**
 * The same where an index is, or is to be.
 * @throws MkvError failed if something else lies there, which a rebuild would destroy
 */
export function inspectPlace(path: string): Exclude<IndexState, { kind: "other" }> {
  const found = inspectIndex(path);
  if (found.kind !== "other") return found;
  throw new MkvError("failed", `${path} is not an index (${found.why}): name another -db, or move it away`);
}

function inspect(folder: string): IndexState {
  const found = statSync(folder, { throwIfNoEntry: false });
  if (!found) return { kind: "none" };
  if (!found.isDirectory()) return { kind: "other", why: "it is a file" };
  const names = readdirSync(folder).sort();
  const others = names.filter((name) => !NOTHING_YET.test(name));
  if (others.length === 0) return { kind: "none" };
  if (!others.some((name) => OF_INDEX.test(name))) return { kind: "other", why: `it holds ${others[0]}` };
  if (!names.includes("CURRENT")) return damaged("CURRENT is missing");

  const [, name, number] = /^(MANIFEST-(\d+))\n$/.exec(readFileSync(join(folder, "CURRENT"), "latin1")) ?? [];
  if (!name) return damaged("CURRENT does not name a MANIFEST");
  if (!names.includes(name)) return damaged(`${name}, which CURRENT names, is missing`);
  if (names.includes("EPOCH") && !readEpoch(readFileSync(join(folder, "EPOCH"), "latin1")))
    return damaged("EPOCH does not say how far the store had come");
  const bytes = readFileSync(join(folder, name));
  let says: Manifest;
  try {
    says = readManifest(bytes);
  } catch (error) {
    return damaged(`${name} cannot be read: ${reasonOf(error)}`);
  }
  const why = lossOf(folder, names, says);
  return why ? damaged(why) : { kind: "whole", manifest: Number(number), says };
}

/** What of the files that the MANIFEST relies on is not there. */
function lossOf(folder: string, names: readonly string[], manifest: Manifest): string | undefined {
  const bytesOf = (name: string) => statSync(join(folder, name)).size;
  const tables = byNumber(names, /^(\d+)\.(?:sst|ldb)$/);
  for (const [number, bytes] of manifest.tables) {
    const name = tables.get(number);
    if (!name) return `${fileName(number, "ldb")} is missing`;
    if (bytesOf(name) !== bytes) return `${name} has ${bytesOf(name)} bytes, not ${bytes}`;
  }
  const logs = byNumber(names, /^(\d+)\.log$/);
  const lost = [manifest.previousLog, manifest.log].find((number) => number > 0 && !logs.has(number));
  if (lost !== undefined) return `${fileName(lost, "log")} is missing`;
  for (const name of logs.values()) accessSync(join(folder, name), constants.R_OK); // LevelDB would take it for an empty one.

  // A flush writes tables that no MANIFEST names yet, but then its log is there. Tables that were merged into nothing
  // may lie there, but then the MANIFEST has counted past them.
  const isEmpty = [...logs].every(([number, name]) => number < manifest.log || bytesOf(name) === 0);
  const isUnknown = (table: number) => manifest.lastSequence === 0 || table >= manifest.nextFile;
  const unknown = [...tables.keys()].find(isUnknown);
  if (manifest.tables.size > 0 || !isEmpty || unknown === undefined) return undefined;
  return `its MANIFEST is of another or an older index: it does not know ${tables.get(unknown)}`;
}

function byNumber(names: readonly string[], pattern: RegExp): ReadonlyMap<number, string> {
  const numbered = names.map((name) => [Number(pattern.exec(name)?.[1]), name] as const);
  return new Map(numbered.filter(([number]) => !Number.isNaN(number)));
}

function fileName(number: number, ending: string): string {
  return `${String(number).padStart(6, "0")}.${ending}`;
}

function damaged(why: string): IndexState {
  return { kind: "damaged", why };
}
