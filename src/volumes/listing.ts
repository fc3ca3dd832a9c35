// Owns the reading of a folder of a volume: nginx's JSON index, an entry a line, folders first, each kind by name.
//   [
//   { "name":"a", "type":"directory", "mtime":"..." },
//   { "name":"b", "type":"file", "mtime":"...", "size":7 }
//   ]
// Names are read as Latin-1, a character a byte: values have ASCII names, and whatever others are stays in order.
import { MkvError, hasCode } from "../errors";
import { ownerOf, volumeOf } from "../format/volume";
import { limits } from "../limits";
import { shaped } from "../shape";
import { type Client } from "./client";
import { openAny } from "./read";

/** One entry of a folder, as nginx shows it: `size` in bytes, of files alone; `mtime` is an HTTP date. */
export type Listed = { readonly name: string; readonly type: string; readonly size?: number; readonly mtime: string };

/**
 * Lists a folder in the order in which nginx does: folders before files, each by the bytes of their names; in pieces
 * of whatever size the network brings, so that a folder of millions costs no memory.
 * @throws MkvError volume-failed if the volume cannot be asked or answers anything but a whole listing
 */
export async function* list(client: Client, volume: string, folder: string): AsyncGenerator<readonly Listed[]> {
  const { chunks } = await openAny(client, volume, encode(folder), { firstByteMs: limits.listingMs });
  const reader = new Reader(`${volume}${folder}`);
  for await (const { buffer, byteOffset, byteLength } of chunks) {
    const entries = reader.take(Buffer.from(buffer, byteOffset, byteLength).toString("latin1"));
    if (entries.length > 0) yield entries;
  }
  const entries = reader.take("\n");
  if (entries.length > 0) yield entries;
  if (reader.state !== "after") throw notAListing(reader.where, "it ends early");
}

/** Whether nginx lists `a` before `b`. */
export function isBefore(a: Listed, b: Listed): boolean {
  const isFolder = a.type === "directory";
  return isFolder === (b.type === "directory") ? a.name < b.name : isFolder;
}

/** The path of a folder as a URL has it: names of values need no escape, foreign ones may. */
function encode(folder: string): string {
  return folder.replace(/[^A-Za-z0-9/+=~._-]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}

/** The text of a listing, read line by line; lines that come together are parsed together. */
class Reader {
  state: "before" | "within" | "after" = "before";
  #rest = "";
  #last: Listed | undefined;

  constructor(readonly where: string) {}

  /** The entries whose lines end in this text. */
  take(text: string): readonly Listed[] {
    const all = this.#rest + text;
    const length = all.lastIndexOf("\n") + 1;
    this.#rest = all.slice(length);
    if (this.#rest.length > limits.listingLineBytes) throw notAListing(this.where, "a line has no end");
    let lines = all.slice(0, length).trim();
    if (lines === "") return [];
    if (this.state === "after") throw notAListing(this.where, "it goes on after its end");
    if (this.state === "before") {
      if (!lines.startsWith("[")) throw notAListing(this.where, "it is not nginx's JSON");
      lines = lines.slice(1);
      this.state = "within";
    }
    const end = lines.search(/^\]/m);
    if (end >= 0) {
      if (end < lines.length - 1) throw notAListing(this.where, "it goes on after its end");
      lines = lines.slice(0, end);
      this.state = "after";
    }
    return this.#parse(`[${lines.trim().replace(/,$/, "")}]`);
  }

  #parse(json: string): readonly Listed[] {
    let entries: readonly Listed[];
    try {
      entries = JSON.parse(json) as Listed[];
    } catch (error) {
      throw notAListing(this.where, "it is not nginx's JSON", error);
    }
    for (const entry of entries) {
      if (!isEntry(entry)) throw notAListing(this.where, "an entry has no name or size");
      if (this.#last && !isBefore(this.#last, entry)) throw notAListing(this.where, "it is not in order");
      this.#last = entry;
    }
    return entries;
  }
}

function isEntry(entry: unknown): boolean {
  const listed = shaped<Listed>(entry, { name: "", type: "", mtime: "", "size?": 0 });
  if (!listed || listed.name === "" || listed.name.includes("/")) return false;
  return listed.type !== "file" || listed.size !== undefined;
}

function notAListing(where: string, why: string, cause?: unknown): MkvError {
  return new MkvError("volume-failed", `${where} sends no listing of its files (${why})`, { cause });
}

/** Whether nothing of value can lie there. Throws MkvError if it cannot be listed. */
export async function isEmpty(client: Client, name: string): Promise<boolean> {
  try {
    for await (const page of list(client, name, "/")) {
      for (const entry of page) {
        if (entry.name === "mkv" || entry.name === "lost+found") continue;
        const isDisk = name === ownerOf(client.health.topology, name) && volumeOf(`${name}/${entry.name}`) === name;
        if (!isDisk || !(await isEmpty(client, `${name}/${entry.name}`))) return false;
      }
    }
    return true;
  } catch (error) {
    if (hasCode(error, "absent")) return true;
    throw error;
  }
}
