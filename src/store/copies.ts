// Owns what the volumes have of one key: which copies are there, and which of them are good.
// Good is what has the recorded MD5 if the copies are read, or what most of the others have: the MD5 if they are read, the
// length if not. Of two lengths in equal number the larger is good, since damage shortens; of two MD5s none is.
// Copies that agree outvote the record: where none has the recorded MD5, and two or more have one and the same, it is the
// record that is wrong. Not while one cannot be asked; and not if they hold zeros alone, as a loss of power leaves them.
// Without a recorded MD5, a disk that was put back has no say where another one has a copy: all of them are read then.
import { setImmediate } from "node:timers/promises";
import { nowMs } from "../clock";
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { type ValueRecord, leastBytesOf } from "../format/record";
import { volumesOf } from "../format/volume";
import { limits } from "../limits";
import { type OpenFile } from "../volumes/read";
import { type Volumes } from "../volumes/volumes";
import { md5Of } from "./copy";
import { type Pace } from "./pace";

/** How closely copies are looked at: by their length, or by all their bytes. */
export type Depth = "length" | "md5";

/** One recorded copy as it was seen. */
export type CopySeen = {
  readonly volume: string;
  readonly state: "good" | "differs" | "empty" | "missing" | "unknown";
  /** Its MD5 or its length in bytes, by the depth; for `unknown` why nothing is known. */
  readonly print: string;
};

/** A copy whose file was opened instead of being asked for: whoever reads it need not ask again. */
export type OpenCopy = { readonly volume: string; readonly file: OpenFile };

/** The recorded copies of a key, in the order of the record. */
export type Inspected = {
  /** When the volumes were asked, by `nowMs`: nothing of this is older. */
  readonly sinceMs: number;
  /** What the prints are: copies are read where lengths do not tell. */
  readonly depth: Depth;
  readonly copies: readonly CopySeen[];
  /** Length of the good copies in bytes; 0 if there is none. */
  readonly bytes: number;
  /** The MD5 that the good copies agree in, where it is known. */
  readonly md5: string | undefined;
  /** The copy that was to be opened, unless it was to be read or is not there. Somebody must close it. */
  readonly opened: OpenCopy | undefined;
};

/** The volumes whose copies are in this state. */
export function volumesIn({ copies }: Inspected, state: CopySeen["state"]): string[] {
  return volumesOf(copies.filter((copy) => copy.state === state));
}

/** Whether all recorded copies are good. */
export function isWhole({ copies }: Inspected): boolean {
  return copies.every(({ state }) => state === "good");
}

/**
 * Asks the recorded volumes what they have, and reads it if asked to, at this pace.
 * @param how.open the volume whose copy is opened, if it is looked at by its length
 */
export async function inspectCopies(
  volumes: Volumes,
  key: Key,
  record: ValueRecord,
  { depth, pace, open }: { depth: Depth; pace?: Pace | undefined; open?: string | undefined },
): Promise<Inspected> {
  const path = pathOf(key);
  const sinceMs = nowMs();
  const seen = await Promise.all(
    record.volumes.map((volume) =>
      look(volumes, volume, path, { depth, pace, isOpened: depth === "length" && volume === open }),
    ),
  );
  const opened = seen.find(({ file }) => file !== undefined) as OpenCopy | undefined;
  const least = leastBytesOf(record.md5);
  const there = seen.filter(({ bytes, state }) => !state && bytes >= least);
  const now = record.md5 === undefined ? there.filter(({ volume }) => !volumes.health.isPutBack(volume)) : there;
  const voters = now.length > 0 ? now : there;
  const prints = voters.map(({ print }) => print);
  const isUnsure = record.md5 === undefined ? voters.length < there.length : new Set(prints).size > 1;
  if (depth === "length" && isUnsure) {
    opened?.file.close();
    return await inspectCopies(volumes, key, record, { depth: "md5", pace });
  }
  const voted = rightOf(prints, depth, record.md5);
  const isOutvoted = depth === "md5" && record.md5 !== undefined && voted !== record.md5;
  const right = isOutvoted && !(await mayOutvote(seen, voted)) ? record.md5 : voted;
  const copies = seen.map(({ volume, bytes, print, state }): CopySeen => {
    return { volume, print, state: state ?? (bytes < least ? "empty" : print === right ? "good" : "differs") };
  });
  const bytes = seen.find(({ bytes, print }) => bytes >= least && print === right)?.bytes ?? 0;
  return { sinceMs, depth, copies, bytes, md5: depth === "md5" ? right : record.md5, opened };
}

type Look = {
  readonly volume: string;
  readonly bytes: number;
  readonly print: string;
  readonly state?: "missing" | "unknown";
  readonly file?: OpenFile;
};

async function look(
  volumes: Volumes,
  volume: string,
  path: string,
  { depth, pace, isOpened }: { depth: Depth; pace: Pace | undefined; isOpened: boolean },
): Promise<Look> {
  if (!(await volumes.isWorthAsking(volume)))
    return { volume, bytes: 0, print: `${volume} does not answer`, state: "unknown" };
  try {
    if (isOpened) {
      const file = await volumes.open(volume, path);
      return { volume, bytes: file.bytes, print: String(file.bytes), file };
    }
    const file = await volumes.head(volume, path);
    if (!file) return { volume, bytes: 0, print: "", state: "missing" };
    const isRead = depth === "md5";
    return { volume, bytes: file.bytes, print: isRead ? await md5Of(volumes, volume, path, pace) : String(file.bytes) };
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    if (isOpened && error.code === "absent") return { volume, bytes: 0, print: "", state: "missing" };
    return { volume, bytes: 0, print: error.message, state: "unknown" };
  }
}

/** Whether what these copies agree in may be the value. */
async function mayOutvote(seen: readonly Look[], voted: string | undefined): Promise<boolean> {
  if (seen.some(({ state }) => state === "unknown")) return false;
  const { bytes } = seen.find(({ print }) => print === voted) ?? { bytes: 0 };
  return voted !== (await md5OfZeros(bytes));
}

async function md5OfZeros(bytes: number): Promise<string> {
  const hasher = new Bun.CryptoHasher("md5");
  const zeros = new Uint8Array(limits.zerosAtOnce);
  for (let left = bytes; left > 0; left -= zeros.length) {
    hasher.update(zeros.subarray(0, left));
    await setImmediate();
  }
  return hasher.digest("hex");
}

/** What the good copies have; undefined if there is no telling. */
function rightOf(prints: readonly string[], depth: Depth, recorded: string | undefined): string | undefined {
  const counts = new Map<string, number>();
  for (const print of prints) counts.set(print, (counts.get(print) ?? 0) + 1);
  const [first, second] = [...counts].sort(
    ([a, m], [b, n]) => n - m || (depth === "length" ? Number(b) - Number(a) : 0),
  );
  if (depth === "length") return first?.[0];
  if (recorded !== undefined && (counts.has(recorded) || (first?.[1] ?? 0) < 2)) return recorded;
  return first?.[1] === second?.[1] ? undefined : first?.[0];
}
