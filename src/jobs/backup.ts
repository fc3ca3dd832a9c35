// Owns backups as jobs: one goes out as its text comes, and is read on the way, so that one which ends well is known to be
// whole; a ledger out of one is filled as it comes in, and put in place when it has turned out to be whole.
import { MkvError } from "../errors";
import { type BackupCounts, type BackupHeader } from "../ledger/backup";
import { type Known } from "../ledger/ledger";
import { readBackup } from "../ledger/read-backup";
import { type Draft, type Lack } from "../ledger/next";
import { limits } from "../limits";
import { requireSameStore } from "../store/backup";
import { type JobProgress } from "./pool";

/**
 * Writes a backup.
 * @param pieces its text
 * @throws MkvError failed if it broke off; whatever `pieces` or `write` throws
 */
export async function exportTo(
  write: (piece: Uint8Array) => Promise<void>,
  { pieces, progress }: { pieces: AsyncIterable<Uint8Array>; progress: JobProgress },
): Promise<{ header: BackupHeader; counts: BackupCounts }> {
  async function* written() {
    for await (const piece of pieces) {
      await write(piece);
      yield piece;
    }
  }
  let header: BackupHeader | undefined;
  let keys = 0;
  const counts = await readBackup(written(), {
    header: (told) => void (header = told),
    keys: (some) => progress.at({ what: "key", done: (keys += some.length) }),
  });
  return { header: header!, counts }; // It has come, or reading has thrown.
}

type Import = {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Whether nothing was changed since it was made. */
  readonly isLatest: boolean;
  /** Begins a ledger where there is none. */
  readonly begin: (lack: Lack | undefined) => Promise<Draft>;
  readonly progress: JobProgress;
};

/**
 * Makes a ledger of a backup. What unfinished work owes is only taken over from the latest one: of an older one it may have
 * become a value.
 * @returns what came in, and what the new ledger may lack
 * @throws MkvError failed if it is no whole backup, or of another store, or there is a ledger: nothing has changed then
 */
export async function importFrom({
  chunks,
  isLatest,
  begin,
  progress,
}: Import): Promise<{ counts: BackupCounts; lack: Lack | undefined }> {
  await using held = new AsyncDisposableStack();
  const memory = new Map<string, unknown>();
  let lack: Lack | undefined;
  let draft: Draft;
  let done = 0;
  const counts = await readBackup(chunks, {
    async header(header) {
      lack = lackOf(header, isLatest);
      draft = held.use(await begin(lack));
    },
    remembered(name, value) {
      if (memory.size >= limits.rememberedInBackup)
        throw new MkvError("failed", `the backup remembers more than ${limits.rememberedInBackup} names`);
      memory.set(name, value);
    },
    async keys(keys) {
      await draft.putAll(lack ? keys.map(atRest) : keys);
      progress.at({ what: "key", done: (done += keys.length) });
    },
  });
  await requireSameStore(draft!.memory, memory);
  await draft!.finish(memory);
  return { counts, lack };
}

/** A key of which no work is under way. */
function atRest({ key, record, attributes }: Known): Known {
  return { key, record, owed: [], ...(attributes && { attributes }) };
}

/** What a ledger out of this backup may lack. */
function lackOf({ timeMs, isConsistent, isBehind }: BackupHeader, isLatest: boolean): Lack | undefined {
  if (isLatest && !isBehind) return undefined;
  const why = `was imported from a backup of ${new Date(timeMs).toISOString()}`;
  if (isBehind) return { why, fromMs: 0, laterMs: undefined };
  return { why, fromMs: timeMs, laterMs: isConsistent ? timeMs : undefined };
}
