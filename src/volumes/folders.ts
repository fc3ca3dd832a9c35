// Owns the walk over the volumes: all of them side by side, folder by folder in the order of the hashes, file by file in
// the order of the names. What lies in one folder of all volumes is merged as it streams in: nothing is held.
import { Ahead } from "../ahead";
import { MkvError, hasCode } from "../errors";
import { earlierPathOf, keyAt, pathOf } from "../format/path";
import { volumesOf } from "../format/volume";
import { type Listed, isBefore } from "./listing";
import { type Volumes } from "./volumes";

/** A folder `/HH/hh/` and the volumes, subvolume included, that have it. */
export type Folder = { readonly path: string; readonly volumes: readonly string[] };

/** A file of a value's path, and the volumes that have it, with what each says of it. */
export type FoundFile = { readonly path: string; readonly copies: readonly Copy[] };

/** `modified` is an HTTP date. */
export type Copy = { readonly volume: string; readonly bytes: number; readonly modified: string };

/** Which folders `/HH/` are somebody's: those whose number leaves this remainder when divided by `of`. */
export type Share = { readonly number: number; readonly of: number };

/** How many folders `/HH/hh/` there can be. */
export const hashFolders = 65_536;

/** Which of those folders it is, in their order, from 0. */
export function folderNumber(path: string): number {
  return Number.parseInt(path.replaceAll("/", ""), 16);
}

/**
 * The folders of all values, or of a share, or those after one, in order; on these volumes, if not on all. Throws MkvError
 * volume-failed if a volume cannot be listed.
 */
export async function* folders(
  all: Volumes,
  options: { share?: Share; after?: string | undefined; on?: readonly string[] } = {},
): AsyncGenerator<Folder> {
  const { share: { number, of } = { number: 0, of: 1 }, after = "", on } = options;
  for await (const upper of foldersBelow(all, await rootOf(all, on))) {
    if (folderNumber(upper.path) % of !== number || upper.path < after.slice(0, upper.path.length)) continue;
    for await (const folder of foldersBelow(all, upper)) if (folder.path > after) yield folder;
  }
}

/** The folders `/staged/HH/hh/` of what is about to take the place of values, in order. Throws as `folders`. */
export async function* stagedFolders(all: Volumes): AsyncGenerator<Folder> {
  for await (const staged of foldersBelow(all, await rootOf(all), isStaged))
    for await (const upper of foldersBelow(all, staged)) yield* foldersBelow(all, upper);
}

/**
 * The files below a folder, in order, those in subfolders first; in pieces of bounded size.
 * @param onEmpty is told of folders, but for those of the hash, in which these volumes have nothing
 */
export async function* files(
  all: Volumes,
  folder: Folder,
  onEmpty?: (folder: Folder) => Promise<void>,
): AsyncGenerator<readonly FoundFile[]> {
  const filled = new Set<string>();
  for await (const page of merge(all, folder)) {
    for (const { copies } of page) for (const { volume } of copies) filled.add(volume);
    for (const entry of page) if (entry.type === "directory") yield* files(all, below(folder, entry), onEmpty);
    yield page
      .filter(({ type }) => type !== "directory")
      .map(({ name, copies }) => ({ path: folder.path + name, copies }));
  }
  const empty = folder.volumes.filter((volume) => !filled.has(volume));
  if (empty.length > 0 && folder.path.length > "/HH/hh/".length) await onEmpty?.({ ...folder, volumes: empty });
}

/**
 * A file with all copies of its value, of which some may lie at its earlier path; undefined if this is that path, and the
 * value is also told of at its present path.
 */
export async function withEarlier(all: Volumes, folder: Folder, file: FoundFile): Promise<FoundFile | undefined> {
  const key = mayBeEarlier.test(file.path) ? keyAt(file.path) : undefined;
  const path = key && pathOf(key);
  if (path === undefined || earlierPathOf(path) === undefined) return file;
  const heads = folder.volumes.map(async (volume) => ({ volume, file: await all.head(volume, path) }));
  const copies = (await Promise.all(heads)).flatMap(({ volume, file }) => (file ? { volume, ...file } : []));
  const told = file.path === path ? [] : folder.volumes.map((volume) => all.holds(volume, path));
  return (await Promise.all(told)).includes(true) ? undefined : { path, copies };
}

/** A path as people write it: names come as Latin-1, a character a byte. */
export function readable(path: string): string {
  return Buffer.from(path, "latin1").toString("utf8");
}

const mayBeEarlier = /[~_]|^\/..\/..\/.*\//;
const isHashFolder = /^[0-9a-f]{2}$/;
const isStaged = /^staged$/;
const isSubvolume = /^sv[0-9A-F]{2,}$/;

/** All that holds values on these volumes. */
async function rootOf(all: Volumes, on = all.topology.volumes): Promise<Folder> {
  const roots = await Promise.all(on.map((volume) => rootsOf(all, volume)));
  return { path: "/", volumes: roots.flat() };
}

/** The places on a volume that hold values: its subvolumes, and itself if it holds some without. */
async function rootsOf(all: Volumes, volume: string): Promise<string[]> {
  const roots: string[] = [];
  let isRoot = false;
  for await (const page of all.list(volume, "/")) {
    for (const { name, type } of page) {
      if (type === "directory" && isSubvolume.test(name)) roots.push(`${volume}/${name}`);
      if (type === "directory" && (isHashFolder.test(name) || isStaged.test(name))) isRoot = true;
    }
  }
  return isRoot ? [volume, ...roots] : roots;
}

async function* foldersBelow(all: Volumes, folder: Folder, isWanted = isHashFolder): AsyncGenerator<Folder> {
  for await (const page of merge(all, folder)) {
    for (const entry of page) {
      if (entry.type === "directory" && isWanted.test(entry.name)) yield below(folder, entry);
    }
  }
}

function below({ path }: Folder, { name, copies }: Merged): Folder {
  return { path: `${path}${name}/`, volumes: volumesOf(copies) };
}

/** An entry of one folder of several volumes, and those that have it. */
type Merged = { readonly name: string; readonly type: string; readonly copies: readonly Copy[] };

/** The entries of a folder, each name once; a page goes as far as what has come in of all listings. */
async function* merge(all: Volumes, { path, volumes }: Folder): AsyncGenerator<Merged[]> {
  const listings = volumes.map((volume) => ({ volume, entries: new Ahead(entriesOf(all, volume, path)) }));
  try {
    for (;;) {
      await Promise.all(listings.map(({ entries }) => entries.fill()));
      const page: Merged[] = [];
      while (!listings.some(({ entries }) => entries.isDue)) {
        const merged = takeFirst(listings);
        if (!merged) break;
        page.push(merged);
      }
      if (page.length === 0) return;
      yield page;
    }
  } catch (error) {
    if (!hasCode(error, "absent")) throw error;
    throw new MkvError("volume-failed", `${error.message}, though it was listed a moment ago`, { cause: error });
  } finally {
    await Promise.all(listings.map(({ entries }) => entries[Symbol.asyncDispose]()));
  }
}

/** What is in a folder; nothing if it has gone since it was listed, as empty ones may, but for those of the hash. */
async function* entriesOf(all: Volumes, volume: string, path: string): AsyncGenerator<readonly Listed[]> {
  try {
    yield* all.list(volume, path);
  } catch (error) {
    const mayGo = hasCode(error, "absent") && path.length > "/HH/hh/".length;
    if (!mayGo || !(await all.head(volume, path.slice(0, "/HH/hh/".length)))) throw error;
  }
}

/** Takes the first entry of all listings from all that have it. */
function takeFirst(listings: readonly { volume: string; entries: Ahead<Listed> }[]): Merged | undefined {
  let first: Listed | undefined;
  for (const { entries } of listings)
    if (entries.next && (!first || isBefore(entries.next, first))) first = entries.next;
  if (!first) return undefined;
  const copies: Copy[] = [];
  for (const { volume, entries } of listings) {
    const entry = entries.next;
    if (entry?.name !== first.name || entry.type !== first.type) continue;
    copies.push({ volume, bytes: entry.size ?? 0, modified: entry.mtime });
    entries.skip();
  }
  return { name: first.name, type: first.type, copies };
}
