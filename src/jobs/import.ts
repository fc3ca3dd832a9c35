// Owns the making of a ledger out of a backup: it is filled as the backup comes in, and put in place when that has turned out
// to be whole.
import { MkvError } from "../errors";
import { type BackupCounts, type BackupHeader } from "../ledger/backup";
import { type Draft, type Known, type Lack } from "../ledger/ledger";
import { readBackup } from "../ledger/read-backup";
import { limits } from "../limits";
import { type JobProgress } from "./pool";

/** What came in, and what the new ledger may lack. */
export type Imported = {
  readonly header: BackupHeader;
  readonly counts: BackupCounts;
  readonly lack: Lack | undefined;
};

/** How a backup is taken in. */
export type Import = {
  /** Its text. */
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
 * @throws MkvError failed if it is no whole backup, or there is a ledger: nothing has changed then
 */
export async function importFrom({ chunks, isLatest, begin, progress }: Import): Promise<Imported> {
  await using held = new AsyncDisposableStack();
  const memory = new Map<string, unknown>();
  let begun: { header: BackupHeader; lack: Lack | undefined; draft: Draft } | undefined;
  let keys = 0;
  for await (const part of readBackup(chunks)) {
    if (part.kind === "header") {
      const lack = lackOf(part.header, isLatest);
      begun = { header: part.header, lack, draft: held.use(await begin(lack)) };
    } else if (part.kind === "memory") {
      if (memory.size >= limits.rememberedInBackup)
        throw new MkvError("failed", `the backup remembers more than ${limits.rememberedInBackup} names`);
      memory.set(part.name, part.value);
    } else if (part.kind === "keys") {
      const { draft, lack } = begun!;
      await draft.putAll(lack ? part.keys.map(settled) : part.keys);
      progress.at({ what: "key", done: (keys += part.keys.length) });
    } else {
      const { header, lack, draft } = begun!;
      await draft.finish(memory);
      return { header, counts: part.counts, lack };
    }
  }
  throw new MkvError("failed", "the backup has no end");
}

/** A key of which no work is under way. */
function settled({ key, record, attributes }: Known): Known {
  return { key, record, owed: [], ...(attributes && { attributes }) };
}

/** What a ledger out of this backup may lack. */
function lackOf({ timeMs, isConsistent, isBehind }: BackupHeader, isLatest: boolean): Lack | undefined {
  if (isLatest && !isBehind) return undefined;
  const why = `was imported from a backup of ${new Date(timeMs).toISOString()}`;
  if (isBehind) return { why, fromMs: 0, laterMs: undefined };
  return { why, fromMs: timeMs, laterMs: isConsistent ? timeMs : undefined };
}
