// Owns the reading of a folder of a volume: nginx's JSON index, an entry a line, folders first, each kind by name.
//   [
//   { "name":"a", "type":"directory", "mtime":"...", "size":... },
//   { "name":"b", "type":"file", "mtime":"...", "size":7 }
//   ]
// Names are read as Latin-1, a character a byte: values have ASCII names, and whatever others are stays in order.
import { MkvError } from "../errors";
import { limits } from "../limits";
import { type VolumeAccess, open } from "./volume";

/** One entry of a folder. `bytes` is 0 for folders; `modified` is an HTTP date. */
export type Listed = {
  readonly name: string;
  readonly kind: "file" | "directory";
  readonly bytes: number;
  readonly modified: string;
};

/**
 * Lists a folder in the order in which nginx does: folders before files, each by the bytes of their names; in pieces
 * of whatever size the network brings, so that a folder of millions costs no memory.
 * @throws MkvError volume-failed if the volume cannot be asked or answers anything but a whole listing
 */
export async function* list(access: VolumeAccess, volume: string, folder: string): AsyncGenerator<Listed[]> {
  const { chunks } = await open(access, volume, encode(folder), limits.listingMs);
  const state: Progress = { rest: "", opened: false, closed: false, last: undefined };
  for await (const chunk of chunks) {
    const entries = [...parse(state, Buffer.from(chunk).toString("latin1"), `${volume}${folder}`)];
    if (entries.length > 0) yield entries;
  }
  const entries = [...parse(state, "\n", `${volume}${folder}`)];
  if (entries.length > 0) yield entries;
  if (!state.closed) throw notAListing(`${volume}${folder}`, "it ends early");
}

/** The path of a folder as a URL has it: names of values need no escape, foreign ones may. */
function encode(folder: string): string {
  return folder.replace(/[^A-Za-z0-9/+=~._-]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

type Progress = { rest: string; opened: boolean; closed: boolean; last: Listed | undefined };

function* parse(state: Progress, text: string, where: string): Generator<Listed> {
  const lines = (state.rest + text).split("\n");
  state.rest = lines.pop() ?? "";
  for (const raw of lines) {
    const line = raw.trim();
    if (line === "") continue;
    if (state.closed) throw notAListing(where, "it goes on after its end");
    if (!state.opened) {
      if (line !== "[") throw notAListing(where, "it is not nginx's JSON");
      state.opened = true;
    } else if (line === "]") {
      state.closed = true;
    } else {
      const entry = parseLine(line, where);
      if (state.last && !isBefore(state.last, entry)) throw notAListing(where, "it is not in order");
      yield (state.last = entry);
    }
  }
}

function parseLine(line: string, where: string): Listed {
  let entry: { name?: unknown; type?: unknown; size?: unknown; mtime?: unknown };
  try {
    entry = JSON.parse(line.endsWith(",") ? line.slice(0, -1) : line);
  } catch (error) {
    throw notAListing(where, "it is not nginx's JSON", error);
  }
  const { name, type, size, mtime } = entry;
  if (typeof name !== "string" || name === "" || name.includes("/") || (type === "file" && typeof size !== "number")) {
    throw notAListing(where, "an entry has no name or size");
  }
  return {
    name,
    kind: type === "directory" ? "directory" : "file",
    bytes: typeof size === "number" ? size : 0,
    modified: typeof mtime === "string" ? mtime : "",
  };
}

/** Whether nginx lists `a` before `b`. */
export function isBefore(a: Listed, b: Listed): boolean {
  return a.kind === b.kind ? a.name < b.name : a.kind === "directory";
}

function notAListing(where: string, why: string, cause?: unknown): MkvError {
  return new MkvError("volume-failed", `${where} sends no listing of its files (${why})`, { cause });
}
