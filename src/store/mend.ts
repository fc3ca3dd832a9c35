// Owns the mending of a key where its record says that its copies are: nothing is moved, whatever the topology asks for.
import { MkvError, reasonOf } from "../errors";
import { type Key } from "../format/key";
import { type ValueRecord, decodeRecord } from "../format/record";
import { type Care } from "./caring";
import { type Depth } from "./copies";
import { type Finding, findProblems, healKey } from "./heal";
import { type Pace } from "./pace";

/** What was found of a key, and whether all of it was mended. */
export type Mended = { readonly findings: readonly Finding[]; readonly isMended: boolean };

/**
 * Looks at the copies of a key, and mends what is missing or damaged. What cannot be mended now leaves a hint.
 * @param options.reading how fast copies are read to be compared
 * @throws MkvError if the ledger fails
 */
export async function mend(
  care: Care,
  [key, text]: readonly [key: Key, record: string],
  { depth, reading }: { depth: Depth; reading: Pace },
): Promise<Mended> {
  const { store } = care;
  let record: ValueRecord;
  try {
    record = decodeRecord(text);
  } catch (error) {
    return { findings: [{ problem: "damaged", line: reasonOf(error) }], isMended: false };
  }
  const look = { depth, pace: reading, targets: record.volumes };
  const suspected = await findProblems(store, key, record, look);
  if (care.stop.aborted) return { findings: [], isMended: false }; // It may have been cut short, and is looked at again.
  const isMendable = suspected.some(({ problem }) => problem === "missing" || problem === "damaged");
  if (!isMendable) return { findings: suspected, isMended: false };
  try {
    using _turn = await care.turns.enter();
    const { findings, isRepaired, failure } = await healKey(store, key, {
      depth,
      repair: true,
      bring: (now) => ({ depth: "length", targets: now.volumes, pace: care.bytes }),
    });
    if (failure !== undefined) throw new MkvError("failed", failure);
    if (isRepaired) care.log.healed();
    return { findings, isMended: isRepaired };
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    if (care.stop.aborted) return { findings: [], isMended: false };
    if (error.code !== "busy") care.log.failed(key, error);
    await store.hints.add(key, { why: depth === "md5" ? "damaged" : "missing" });
    return { findings: suspected, isMended: false };
  }
}
