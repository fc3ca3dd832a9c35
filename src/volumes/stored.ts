// Owns what a volume's answer to a PUT means: stored, a disk that is full, or something else in the way of the file.
// The path of one key may have a folder where another key has its file: Base64 has a "/" in it. Both must have the same
// folder of the hash, which one pair of such keys in 65,536 has. A disk has room for one of them; nginx answers 500 where a
// file lies in the place of a folder, as it does when the disk is full, and 409 where a folder lies in that of the file.
import { withDeadline } from "../deadline";
import { MkvError, hasCode } from "../errors";
import { type Key, showKey } from "../format/key";
import { keyAt } from "../format/path";
import { limits } from "../limits";
import { type Client, unexpected } from "./client";
import { list } from "./listing";
import { isFolder } from "./read";

/** Throws MkvError conflict if something else is in the way; volume-failed for anything else that does not say "stored". */
export async function requireStored(client: Client, volume: string, path: string, status: number): Promise<void> {
  if (status === 409 || status >= 500) await requireFree(client, volume, path);
  if (status >= 500) client.health.full(volume);
  if (status !== 201 && status !== 204) throw unexpected(volume, status);
  client.health.heard(volume);
}

/** The failure of a write of a key that has no room beside another one; whether that still exists, a `volume` does not know. */
export function noRoomBeside(other: Key, volume?: string): MkvError {
  const file = `the file of ${JSON.stringify(showKey(other))}${volume === undefined ? "" : ` on ${volume}`}`;
  const why = `${file} is in the way, since one of the two would be a folder of the other`;
  const none = volume === undefined ? "" : ` (where there is none, "verify -orphans" removes the file)`;
  return new MkvError("conflict", `not written: ${why}: DELETE that key${none}, or choose another one`);
}

/** Throws MkvError conflict if a file lies in the place of one of the path's folders, or a folder in that of its file. */
async function requireFree(client: Client, volume: string, path: string): Promise<void> {
  for (let end = path.indexOf("/", "/HH/hh/".length); ; end = path.indexOf("/", end + 1)) {
    const at = end < 0 ? path : path.slice(0, end);
    const answer = await client.ask(volume, at, "HEAD");
    if (end >= 0 && answer.status === 200) throw inTheWay(volume, at);
    if (!isFolder(answer, at)) return;
    if (end >= 0) continue;
    const onTimeout = () =>
      new MkvError("conflict", `not written: ${volume}${path} is a folder, with files of other keys`);
    const file = await withDeadline(limits.patienceMs, firstBelow(client, volume, `${path}/`), onTimeout);
    if (file !== undefined) throw inTheWay(volume, file);
    const advice = `"verify -repair" removes it if "mkv volume" runs there, else rmdir does`;
    const what = `${volume}${path} is an empty folder in the place of the file`;
    throw new MkvError("conflict", `not written: ${what}: ${advice}`);
  }
}

/** The path of a file somewhere below a folder, as far as `foldersLookedInto` tell. */
async function firstBelow(client: Client, volume: string, folder: string): Promise<string | undefined> {
  const open = [folder];
  for (let count = 0; open.length > 0 && count < limits.foldersLookedInto; count++) {
    const at = open.pop()!;
    try {
      for await (const page of list(client, volume, at)) {
        const file = page.find(({ type }) => type === "file");
        if (file) return at + file.name;
        if (open.length < limits.foldersLookedInto) open.push(...page.map(({ name }) => `${at}${name}/`));
      }
    } catch (error) {
      if (!hasCode(error, "absent")) throw error; // It has just gone: it was empty.
    }
  }
  return undefined;
}

function inTheWay(volume: string, path: string): MkvError {
  const other = keyAt(path.replace(/^\/staged/, ""));
  if (other) return noRoomBeside(other, volume);
  return new MkvError("conflict", `not written: ${volume}${path} is in the way, which is no value: remove it there`);
}
