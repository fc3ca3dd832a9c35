// Owns what the volumes have of one key: which copies are there, and which of them are good.
// Good is what has the recorded MD5 if the copies are read, or what most of the others have: the MD5 if they are read, the
// length if not. Of two lengths in equal number the larger is good, since damage shortens; of two MD5s none is.
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { type ValueRecord } from "../format/record";
import { head } from "../volumes/volume";
import { md5Of } from "./copy";
import { type Store } from "./store";

/** How closely copies are looked at: by their length, or by all their bytes. */
export type Depth = "length" | "md5";

/** The recorded copies of a key; each list in the order of the record. */
export type Survey = {
  /** What was seen of each copy that is there: its length or its MD5. */
  readonly prints: ReadonlyMap<string, string>;
  readonly good: readonly string[];
  /** Copies that differ from the good ones. */
  readonly odd: readonly string[];
  /** Volumes that do not answer. */
  readonly silent: ReadonlyMap<string, MkvError>;
  /** Length of the good copies; 0 if there is none. */
  readonly bytes: number;
};

/** Asks the recorded volumes what they have. Throws MkvError only if a copy cannot be read to its end. */
export async function survey(store: Store, key: Key, record: ValueRecord, depth: Depth): Promise<Survey> {
  const { volumes: access } = store;
  const path = pathOf(key);
  const sizes = new Map<string, number>();
  const found = new Map<string, string>();
  const silent = new Map<string, MkvError>();
  await Promise.all(
    record.volumes.map(async (volume) => {
      try {
        const info = await head(access, volume, path);
        if (!info || info.bytes === 0) return;
        found.set(volume, depth === "length" ? String(info.bytes) : await md5Of(access, volume, path));
        sizes.set(volume, info.bytes);
      } catch (error) {
        if (!(error instanceof MkvError)) throw error;
        silent.set(volume, error);
      }
    }),
  );
  const holders = record.volumes.filter((volume) => found.has(volume));
  const prints = holders.map((volume) => found.get(volume)!);
  const right = depth === "md5" ? (record.md5 ?? majority(prints)) : longestMajority(prints);
  const good = holders.filter((volume) => found.get(volume) === right);
  const odd = holders.filter((volume) => !good.includes(volume));
  return { prints: found, good, odd, silent, bytes: sizes.get(good[0] ?? "") ?? 0 };
}

/** The print that more copies have than any other; undefined if two have the same number. */
export function majority(prints: readonly string[]): string | undefined {
  const [first, second] = ranked(prints);
  return first && first.count > (second?.count ?? 0) ? first.print : undefined;
}

function longestMajority(lengths: readonly string[]): string | undefined {
  return ranked(lengths).sort((a, b) => b.count - a.count || Number(b.print) - Number(a.print))[0]?.print;
}

function ranked(prints: readonly string[]): { print: string; count: number }[] {
  const counts = new Map<string, number>();
  for (const print of prints) counts.set(print, (counts.get(print) ?? 0) + 1);
  return [...counts].map(([print, count]) => ({ print, count })).sort((a, b) => b.count - a.count);
}
