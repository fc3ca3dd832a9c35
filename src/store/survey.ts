// Owns what the volumes have of one key: which copies are there, and which of them are good.
// Good is what has the recorded MD5 if the copies are read, or what most of the others have: the MD5 if they are read, the
// length if not. Of two lengths in equal number the larger is good, since damage shortens; of two MD5s none is.
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { type ValueRecord } from "../format/record";
import { type VolumeAccess, head } from "../volumes/volume";
import { type Pace, md5Of } from "./copy";

/** How closely copies are looked at: by their length, or by all their bytes. */
export type Depth = "length" | "md5";

/** The recorded copies of a key; each list in the order of the record. */
export type Survey = {
  /** What `prints` are: asked for the length of copies that differ, a survey reads them if their MD5 is known. */
  readonly depth: Depth;
  /** What was seen of each copy that has any bytes. */
  readonly prints: ReadonlyMap<string, string>;
  readonly good: readonly string[];
  /** Copies that differ from the good ones. */
  readonly odd: readonly string[];
  readonly empty: readonly string[];
  readonly missing: readonly string[];
  /** Volumes that do not answer, or break off. */
  readonly silent: ReadonlyMap<string, MkvError>;
  /** Length of the good copies; 0 if there is none. */
  readonly bytes: number;
};

/** Asks the recorded volumes what they have, and reads it if asked to, at this pace. */
export async function survey(
  access: VolumeAccess,
  key: Key,
  record: ValueRecord,
  { depth, pace }: { depth: Depth; pace?: Pace | undefined },
): Promise<Survey> {
  const path = pathOf(key);
  const sizes = new Map<string, number>();
  const prints = new Map<string, string>();
  const silent = new Map<string, MkvError>();
  await Promise.all(
    record.volumes.map(async (volume) => {
      try {
        const info = await head(access, volume, path);
        if (!info) return;
        sizes.set(volume, info.bytes);
        if (info.bytes === 0) return;
        prints.set(volume, depth === "length" ? String(info.bytes) : await md5Of(access, volume, path, pace));
      } catch (error) {
        if (!(error instanceof MkvError)) throw error;
        silent.set(volume, error);
      }
    }),
  );
  const holders = record.volumes.filter((volume) => prints.has(volume));
  const seen = holders.map((volume) => prints.get(volume)!);
  if (depth === "length" && record.md5 !== undefined && new Set(seen).size > 1) {
    return await survey(access, key, record, { depth: "md5", pace });
  }
  const right = (depth === "md5" && record.md5) || rightOf(seen, depth);
  const good = holders.filter((volume) => prints.get(volume) === right);
  return {
    ...{ depth, prints, good, silent },
    odd: holders.filter((volume) => !good.includes(volume)),
    empty: record.volumes.filter((volume) => sizes.get(volume) === 0),
    missing: record.volumes.filter((volume) => !sizes.has(volume) && !silent.has(volume)),
    bytes: sizes.get(good[0] ?? "") ?? 0,
  };
}

/** What most of the prints are. Of two in equal number the greater length is right, and no MD5 is. */
function rightOf(prints: readonly string[], depth: Depth): string | undefined {
  const counts = new Map<string, number>();
  for (const print of prints) counts.set(print, (counts.get(print) ?? 0) + 1);
  const [first, second] = [...counts].sort(
    ([a, m], [b, n]) => n - m || (depth === "length" ? Number(b) - Number(a) : 0),
  );
  return depth === "md5" && first?.[1] === second?.[1] ? undefined : first?.[0];
}
