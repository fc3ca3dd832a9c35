// Owns the comparison of the ledger with the volumes: every record against its copies, then every file against the records.
// It reads both as streams. What looks wrong counts only if the target, with the key claimed, sees it too; a repair is part
// of that one look. So all of it can be done while a master runs.
import { MkvError, reasonOf } from "../errors";
import { type Key, keyOf, showKey } from "../format/key";
import { type ValueRecord, decodeRecord } from "../format/record";
import { isConfigured } from "../format/volume";
import { type RawEntry } from "../ledger/ledger";
import { limits } from "../limits";
import { type Healed, findProblems } from "../store/heal";
import { retryBusy } from "../ledger/retry-busy";
import { Cursor } from "./cursor";
import { type Verify, note, wrongIn } from "./findings";
import { type Folder } from "../volumes/folders";
import { each, forEach } from "./pool";
import { verifyAllFiles } from "./verify-files";

/** A key that is looked at again at the end: what was counted of it as wrong, and not repaired. */
type Unrepaired = {
  /** As in lists. */
  readonly key: string;
  readonly counted: number;
  /** Whether it was unlinked, and lost, when it was looked at first: not one that was set aside since. */
  readonly isUnfinished?: boolean;
  readonly failure?: string | undefined;
};

/** Compares ledger and volumes. Throws MkvError if the ledger cannot be read. */
export async function verify(job: Verify): Promise<void> {
  const { target, counts, progress } = job;
  const cursor = await Cursor.open<Unrepaired>(target, job);
  const { from } = cursor;
  const keyFrom = from?.over === "keys" ? keyOf(from.after!) : undefined;
  const work = async ([key, text]: RawEntry) => {
    progress.at({ what: "key", done: ++counts.keys, of: cursor.lastKeys });
    let record: ValueRecord;
    try {
      record = decodeRecord(text);
    } catch (error) {
      counts.damaged++;
      return note(job, key, reasonOf(error));
    }
    if (record.volumes.some((volume) => !isConfigured(job.volumes.topology, volume))) cursor.isForeign = true;
    await verifyKey(job, key, record, cursor);
  };
  const pause = cursor.pauses<RawEntry>("keys", ([key]) => showKey(key));
  if (from?.over !== "files") await forEach(each(target.scan(keyFrom)), limits.movesAtOnce, work, pause);
  // With the wrong index, or other names for the volumes, every file would look like an orphan.
  const removeOrphans = job.removeOrphans && counts.keys > 0 && !cursor.isForeign;
  if (job.removeOrphans && !removeOrphans) {
    const why =
      counts.keys > 0
        ? "records name volumes that -volumes does not: name them, or rebalance"
        : "the index has no keys: rebuild";
    progress.note(`no orphan is removed: ${why} first`);
  }
  const pauseInFiles = cursor.pauses<Folder>("files", ({ path }) => path);
  const folderFrom = from?.over === "files" ? from.after : undefined;
  const isAllSeen = await verifyAllFiles({ ...job, removeOrphans }, folderFrom, pauseInFiles);
  // A key is only forgotten by one that has seen all files itself: an older index may not know where its own are.
  const forget = job.repair && isAllSeen && from === undefined;
  await forEach(cursor.later(), limits.movesAtOnce, ([unrepaired, forMs]) =>
    verifyAgain({ ...job, repair: job.repair && isAllSeen }, unrepaired, { forMs, forget }),
  );
  await cursor.end({ isWhole: isAllSeen, isProof: job.depth === "md5" && wrongIn(counts) === counts.repaired });
}

async function verifyKey(job: Verify, key: Key, record: ValueRecord, cursor: Cursor<Unrepaired>): Promise<void> {
  const shown = showKey(key);
  if ((await findProblems(job.volumes, key, record, job)).length === 0) return;
  try {
    const healed = await look(job, key, { forMs: limits.busyMs });
    count(job, key, healed);
    const counted = healed.findings.length;
    if (counted === 0 || !job.repair || healed.isRepaired) return;
    const { failure = "there was too much to do, run it again" } = healed;
    const isUnfinished = healed.findings.some(({ problem }) => problem === "unfinished");
    const unrepaired = { key: shown, counted, isUnfinished, failure: healed.failure };
    if (!cursor.add(unrepaired)) note(job, key, `not repaired: ${failure}`);
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    if (!cursor.takes({ key: shown, counted: 0 }, error)) countUnknown(job, key, error);
  }
}

/** Looks once more at a key that was busy, could not be looked at, or could not be repaired before all files were seen. */
async function verifyAgain(
  job: Verify,
  { key: shown, counted, isUnfinished = false, failure }: Unrepaired,
  { forMs, forget }: { forMs: number; forget: boolean },
): Promise<void> {
  const key = keyOf(shown);
  try {
    const healed = await look(job, key, { forMs, forget: isUnfinished && forget });
    const isWell = healed.isRepaired || healed.findings.length === 0;
    if (counted === 0) count(job, key, healed);
    else if (isWell) {
      job.counts.repaired += counted;
      job.counts.bytes += healed.bytes ?? 0;
    }
    if (isWell) return;
    for (const why of new Set([failure, healed.failure])) if (why !== undefined) note(job, key, `not repaired: ${why}`);
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    if (counted === 0) countUnknown(job, key, error);
    else note(job, key, `not repaired: ${error.message}`);
  }
}

/** Looks at a key under its claim, for so long if it is busy. */
function look(job: Verify, key: Key, { forMs, forget = false }: { forMs: number; forget?: boolean }): Promise<Healed> {
  const how = { depth: job.depth, repair: job.repair, forget, dryRun: job.task.dryRun };
  return retryBusy(() => job.target.heal(key, how), forMs);
}

function count(job: Verify, key: Key, healed: Healed): void {
  const { counts } = job;
  for (const { problem, line } of healed.findings) {
    counts[problem]++;
    note(job, key, line);
  }
  if (!healed.isRepaired) return;
  counts.repaired += healed.findings.length;
  counts.bytes += healed.bytes ?? 0;
}

function countUnknown(job: Verify, key: Key, error: MkvError): void {
  job.counts.unknown++;
  note(job, key, `could not be looked at: ${error.message}`);
}
