// Owns what a volume answers beside nginx, which proxies it to a Unix socket, behind the same password as everything:
// `GET /mkv/disks`, and `POST /.sync/PATH`, since nginx never calls fsync.
// 1. 204: the file is there, and on the disk with its name in every folder up to DIR. 410: it is not there, and that is
//    on the disk. 400: no path of a value. 500: the disk failed, nothing is promised.
// 2. Before a 410, empty folders on the way to the file are removed, but for those of the hash: see `removeEmpty`.
// 3. Requests that come in while one round of fsync runs share the next: a folder is synced once for all of them.
// 4. A path is made of names that do not begin with a dot, and of no links but to disks: it cannot lead out of DIR.
import { access, constants, open, readdir, realpath, rmdir, stat, statfs } from "node:fs/promises";
import { dirname, join } from "node:path";
import { reasonOf } from "../errors";
import { GroupCommit } from "../group-commit";
import { warn } from "../log";
import { type Space } from "../volumes/disks";

/** Answers for the values below `dir` on a Unix socket, until it is disposed of. */
export function serveBeside(dir: string, socket: string): AsyncDisposable {
  const folders = new SharedSync();
  const server = Bun.serve({
    unix: socket,
    async fetch(request, self) {
      self.timeout(request, 0); // A disk may be slow; whoever asks has a deadline.
      if (new URL(request.url).pathname === "/mkv/disks") return Response.json({ disks: await disksOf(dir) });
      if (request.method !== "POST") return new Response("only POST\n", { status: 405 });
      const path = valuePath(request.url);
      if (path === undefined || (await leadsAway(dir, path)))
        return new Response("no path of a value\n", { status: 400 });
      try {
        const isThere = path === "/" || (await syncFile(join(dir, path)));
        if (!isThere) await removeEmpty(dir, path);
        for (let at = dirname(path); ; at = dirname(at)) {
          await folders.sync(join(dir, at));
          if (at === "/") break;
        }
        return new Response(null, { status: isThere ? 204 : 410 });
      } catch (error) {
        warn(`cannot sync ${path}: ${reasonOf(error)}`);
        return new Response("the disk failed\n", { status: 500 });
      }
    },
  });
  return { [Symbol.asyncDispose]: () => server.stop(true) };
}

/** Runs one fsync a folder at a time; who asks during one shares the next. */
class SharedSync {
  readonly #folders = new Map<string, { readonly rounds: GroupCommit; waiting: number }>();

  async sync(path: string): Promise<void> {
    const folder = this.#folders.get(path) ?? { rounds: new GroupCommit(() => syncFile(path)), waiting: 0 };
    this.#folders.set(path, folder);
    folder.waiting++;
    try {
      await folder.rounds.next();
    } finally {
      if (--folder.waiting === 0) this.#folders.delete(path);
    }
  }
}

/** Brings a file or folder to the disk; false if there is no file. */
async function syncFile(path: string): Promise<boolean> {
  try {
    await using file = await open(path, "r");
    await file.sync();
    return (await file.stat()).isFile();
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/**
 * Removes the empty folders of a path, from its end up to those of the hash; rmdir removes nothing else. nginx makes the
 * folders that a file lacks, then renames it to its place: if one goes in between, it answers 500, and the PUT has failed.
 */
async function removeEmpty(dir: string, path: string): Promise<void> {
  const hash = /^(?:\/[^/]+)*?\/[0-9a-f]{2}\/[0-9a-f]{2}(?=\/)/.exec(path)?.[0];
  if (hash === undefined) return;
  for (let at = path; at !== hash; at = dirname(at)) {
    try {
      await rmdir(join(dir, at));
    } catch (error) {
      if (!isMissing(error)) return;
    }
  }
}

/** Whether links lead the path elsewhere; the first folder, a disk, may be one. */
async function leadsAway(dir: string, path: string): Promise<boolean> {
  const [, disk, ...rest] = path.split("/");
  try {
    const place = join(await realpath(join(dir, disk!)), ...rest);
    return (await realpath(place)) !== place;
  } catch (error) {
    if (isMissing(error)) return await (rest.length > 0 ? leadsAway(dir, dirname(path)) : false);
    return true;
  }
}

/** Whether a file system takes no writes: it was mounted so, or the kernel has seen that it fails. */
async function isMountedReadOnly(path: string): Promise<boolean> {
  const failure = await access(path, constants.W_OK).catch((error: unknown) => error);
  return (failure as { code?: string } | undefined)?.code === "EROFS"; // Other rights are nginx's, not this process's.
}

function isMissing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR", "ENAMETOOLONG"].includes((error as { code?: string }).code ?? "");
}

function valuePath(url: string): string | undefined {
  const path = /^(?:[a-z]+:\/\/[^/]*)?\/\.sync(\/[^?#]*)$/.exec(url)?.[1];
  const names = path?.slice(1).split("/");
  return names?.every((name) => /^(?!\.)[A-Za-z0-9+=~_.-]+$/.test(name)) || path === "/" ? path : undefined;
}

/** A disk: its room for others than root, or why it cannot be told. `name` is empty for the folder of the values itself. */
type Disk = { readonly name: string } & (Space | { readonly error: string });

/** The disks below a folder, in the order of their names. */
async function disksOf(dir: string): Promise<Disk[]> {
  const names = (await readdir(dir)).filter((name) => /^sv[0-9A-F]{2,}$/.test(name)).sort();
  return await Promise.all(["", ...names].map((name) => diskAt(dir, name)));
}

async function diskAt(dir: string, name: string): Promise<Disk> {
  try {
    const path = join(dir, name);
    const [{ dev }, { bsize, blocks, bavail, files, ffree }] = await Promise.all([stat(path), statfs(path)]);
    const [bytesTotal, bytesFree] = [blocks * bsize, bavail * bsize];
    const isReadOnly = await isMountedReadOnly(path);
    return { name, device: dev, bytesTotal, bytesFree, filesTotal: files, filesFree: ffree, isReadOnly };
  } catch (error) {
    return { name, error: reasonOf(error) };
  }
}
