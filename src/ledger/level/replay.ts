// Owns what the journals of earlier processes mean for the index as it is found.
// After a mere crash of the process the index has all that was put into it. After a power cut, or when an older copy was put
// back, it may lack what its journal knows. Then:
// 1. A key whose record is an earlier one of its own journal gets the last one: what was acknowledged is redone. Not where a
//    write has begun since, nor by lines so old that later ones of the key may have been dropped.
// 2. That such a copy was put back after a crash shows in a key whose last line is settled and has another record.
// 3. No other debt is paid: "absent" may only be forgotten, and the file the only copy. The files stay, for `rebuild`.
import { nowMs } from "../../clock";
import { readRecord } from "../../format/record";
import { volumesOf } from "../../format/volume";
import { limits } from "../../limits";
import { type Owing } from "./journal";
import { type Journals } from "./read-journals";
import { type LevelIndex, readable } from "./leveldb";

/** Whether the index, as a crash of the process has left it, is an older copy: it lacks what was put into it. */
export function isOlder(index: LevelIndex, { lines, floor }: Journals): boolean {
  return lines.values().some((ofKey) => {
    const { key, n, record, owed, isSettled } = ofKey.at(-1)!;
    if (!isSettled || owed.length > 0 || n <= floor) return false;
    const found = readable(() => ({ text: index.getText(key) })); // What is damaged tells nothing.
    return found !== undefined && found.text !== record;
  });
}

/** What came of it. */
export type Replayed = {
  /** What is owed, to be paid. */
  readonly inherited: readonly Owing[];
  readonly redone: number;
  /** Keys of which something was owed that must not be paid. */
  readonly doubtful: number;
  /** By the key in hex: volumes that may still carry out a request of an earlier process, whatever the records say. */
  readonly barred: ReadonlyMap<string, readonly string[]>;
};

/**
 * Brings index and journals together.
 * @param options.inDoubt whether the index may be older than the journals
 * @param options.graceMs how long strays stay from now on
 */
export async function replay(
  index: LevelIndex,
  { lines, floor }: Journals,
  options: { inDoubt: boolean; graceMs: number },
): Promise<Replayed> {
  const inherited: Owing[] = [];
  const barred = new Map<string, readonly string[]>();
  let [redone, doubtful] = [0, 0];
  for (const ofKey of lines.values()) {
    const { key, n, record, marks, owed } = ofKey.at(-1)!;
    let found = index.getText(key);
    const isSure = marks.length === 0 && n > floor && owed.every(({ kind }) => kind !== "in-flight");
    if (options.inDoubt && isSure && found !== record && ofKey.some((line) => line.record === found)) {
      await index.put(key, record, { sync: true });
      found = record;
      redone++;
    }
    if (owed.length === 0) continue;
    barred.set(key.toHex(), volumesOf(owed));
    if (options.inDoubt) doubtful++;
    else {
      if (found !== undefined && marks.includes(found)) await index.put(key, (found = undefined), { sync: true });
      const sinceMs = nowMs(); // The last requests of that process may still be on their way.
      const dated = owed.map(({ volume, kind }) => {
        return { volume, kind, sinceMs, untilMs: sinceMs + (kind === "stray" ? options.graceMs : limits.fenceOverMs) };
      });
      const known = readRecord(found) ? found : record; // A damaged one says nothing to a rebuild.
      inherited.push({ key, n, record: known, owed: dated, dueMs: 0 });
    }
  }
  return { inherited, redone, doubtful, barred };
}
