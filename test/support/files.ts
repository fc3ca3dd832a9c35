// Owns the view of a volume's folder from behind nginx's back.
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";

export interface ValueFile {
  /** Below the subvolume: `/HH/hh/BASE64`. */
  path: string;
  /** `svXX`, or empty without subvolumes. */
  subvolume: string;
  /** On this machine. */
  file: string;
  bytes: number;
  md5: string;
  mtimeMs: number;
}

const VALUE_PATH = /^(?:(sv[0-9A-F]{2,})\/)?([0-9a-f]{2}\/[0-9a-f]{2}\/.+)$/;
const STAGED_PATH = /^(?:sv[0-9A-F]{2,}\/)?staged\//;
const UNFINISHED_BODY = /\/\d{10}$/; // As nginx names them.
const NOTE = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}( \d+)?\n$/; // What goes to /mkv/id and to /mkv/epoch.

/** The values that lie on a volume, in the order of their paths. */
export function filesOn(dir: string): ValueFile[] {
  return everyFile(dir)
    .filter((file) => VALUE_PATH.test(relative(dir, file)))
    .flatMap((file) => valueFile(dir, file));
}

/** The files of one path on a volume, in whatever subvolumes they are. */
export function filesAt(dir: string, path: string): ValueFile[] {
  const subvolumes = readdirSync(dir).filter((name) => /^sv[0-9A-F]{2,}$/.test(name));
  const files = ["", ...subvolumes].map((subvolume) => join(dir, subvolume, path));
  return files.filter(existsSync).flatMap((file) => valueFile(dir, file));
}

/** The paths of all values, whole, staged or still being received: what must be gone when nothing is stored. */
export function remainsOn(dir: string): string[] {
  const isValue = (path: string) => VALUE_PATH.test(path) || STAGED_PATH.test(path);
  return everyFile(dir).filter((file) => isValue(relative(dir, file)) || (UNFINISHED_BODY.test(file) && !isNote(file)));
}

/** Whether a body that is being received is none of a value, as masters write notes at any time; or has gone. */
function isNote(file: string): boolean {
  try {
    const { size } = statSync(file);
    return size === 0 || (size < 64 && NOTE.test(readFileSync(file, "utf8")));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return true;
    throw error;
  }
}

/** What is known of a file; nothing if it goes away meanwhile. */
function valueFile(dir: string, file: string): ValueFile[] {
  const [, subvolume = "", path] = relative(dir, file).match(VALUE_PATH) ?? [];
  try {
    const content = readFileSync(file);
    const md5 = createHash("md5").update(content).digest("hex");
    return [{ path: `/${path}`, subvolume, file, bytes: content.length, md5, mtimeMs: statSync(file).mtimeMs }];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function everyFile(dir: string): string[] {
  const entries = readdirSync(dir, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}
