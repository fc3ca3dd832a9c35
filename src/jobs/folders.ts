// Owns the walk over the volumes: all of them side by side, folder by folder in the order of the hashes, file by file in
// the order of the names. What lies in one folder of all volumes is merged as it streams in: nothing is held.
import { MkvError } from "../errors";
import { type Topology } from "../format/placement";
import { type Listed, isBefore, list } from "../volumes/listing";
import { type VolumeAccess } from "../volumes/volume";

/** A folder `/HH/hh/` and the volumes, subvolume included, that have it. */
export type Folder = { readonly path: string; readonly volumes: readonly string[] };

/** A file of a value's path, and what each volume that has it says of it. */
export type FoundFile = { readonly path: string; readonly copies: ReadonlyMap<string, Listed> };

/** The folders of all values, in order. Throws MkvError volume-failed if a volume cannot be listed. */
export async function* folders(access: VolumeAccess, topology: Topology): AsyncGenerator<Folder> {
  const roots = (await Promise.all(topology.volumes.map((volume) => rootsOf(access, volume)))).flat();
  for await (const upper of merged(access, { path: "/", volumes: roots }, isHashFolder)) {
    for await (const lower of merged(access, upper, isHashFolder)) yield lower;
  }
}

/** The files below a folder, in order, those in subfolders first. */
export async function* files(access: VolumeAccess, folder: Folder): AsyncGenerator<FoundFile> {
  for await (const { entry, copies } of merge(access, folder)) {
    const path = folder.path + entry.name;
    if (entry.kind === "file") yield { path, copies };
    else yield* files(access, { path: `${path}/`, volumes: [...copies.keys()] });
  }
}

/** A path as people write it: names come as Latin-1, a character a byte. */
export function readable(path: string): string {
  return Buffer.from(path, "latin1").toString("utf8");
}

const isHashFolder = /^[0-9a-f]{2}$/;
const isSubvolume = /^sv[0-9A-F]{2,}$/;

/** The places on a volume that hold values: its subvolumes, and itself if it holds some without. */
async function rootsOf(access: VolumeAccess, volume: string): Promise<string[]> {
  const roots: string[] = [];
  let isRoot = false;
  for await (const page of list(access, volume, "/")) {
    for (const { name, kind } of page) {
      if (kind === "directory" && isSubvolume.test(name)) roots.push(`${volume}/${name}`);
      if (kind === "directory" && isHashFolder.test(name)) isRoot = true;
    }
  }
  return isRoot ? [volume, ...roots] : roots;
}

async function* merged(access: VolumeAccess, folder: Folder, name: RegExp): AsyncGenerator<Folder> {
  for await (const { entry, copies } of merge(access, folder)) {
    if (entry.kind !== "directory" || !name.test(entry.name)) continue;
    yield { path: `${folder.path}${entry.name}/`, volumes: [...copies.keys()] };
  }
}

/** The entries of one folder of several volumes: each name once, with its length on each volume that has it. */
async function* merge(access: VolumeAccess, { path, volumes }: Folder) {
  const cursors = volumes.map((volume) => new Cursor(volume, list(access, volume, path)));
  try {
    await Promise.all(cursors.map((cursor) => cursor.fill()));
    for (;;) {
      let first: Listed | undefined;
      for (const { entry } of cursors) if (entry && (!first || isBefore(entry, first))) first = entry;
      if (!first) return;
      const copies = new Map<string, Listed>();
      for (const cursor of cursors) {
        if (!cursor.entry || cursor.entry.name !== first.name || cursor.entry.kind !== first.kind) continue;
        copies.set(cursor.volume, cursor.entry);
        if (!cursor.advance()) await cursor.fill();
      }
      yield { entry: first, copies };
    }
  } catch (error) {
    if (!(error instanceof MkvError) || error.code !== "absent") throw error;
    throw new MkvError("volume-failed", `${error.message}, though it was listed a moment ago`, { cause: error });
  } finally {
    await Promise.all(cursors.map((cursor) => cursor.pages.return(undefined)));
  }
}

class Cursor {
  entry: Listed | undefined;
  #page: Listed[] = [];
  #at = 0;

  constructor(
    readonly volume: string,
    readonly pages: AsyncGenerator<Listed[]>,
  ) {}

  /** Goes on to the next entry of the page; false at its end. */
  advance(): boolean {
    this.entry = this.#page[++this.#at];
    return this.entry !== undefined;
  }

  /** Goes on to the first entry of the next page, or to the end. */
  async fill(): Promise<void> {
    this.#page = (await this.pages.next()).value ?? [];
    this.#at = 0;
    this.entry = this.#page[0];
  }
}
