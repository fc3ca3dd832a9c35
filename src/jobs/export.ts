// Owns the making of a backup: its text goes out as it comes, and is read on the way, so that one which ends well is known
// to be whole.
import { MkvError } from "../errors";
import { type BackupCounts, type BackupHeader } from "../ledger/backup";
import { readBackup } from "../ledger/read-backup";
import { type JobProgress } from "./pool";

/** A backup that is whole. */
export type Exported = { readonly header: BackupHeader; readonly counts: BackupCounts };

/**
 * Writes a backup.
 * @param pieces its text
 * @throws MkvError failed if it broke off; whatever `pieces` or `write` throws
 */
export async function exportTo(
  write: (piece: Uint8Array) => Promise<void>,
  { pieces, progress }: { pieces: AsyncIterable<Uint8Array>; progress: JobProgress },
): Promise<Exported> {
  let header: BackupHeader | undefined;
  let keys = 0;
  for await (const part of readBackup(written(pieces, write))) {
    if (part.kind === "header") header = part.header;
    else if (part.kind === "keys") progress.at({ what: "key", done: (keys += part.keys.length) });
    else if (part.kind === "end") return { header: header!, counts: part.counts };
  }
  throw new MkvError("failed", "the backup has no end");
}

async function* written(
  pieces: AsyncIterable<Uint8Array>,
  write: (piece: Uint8Array) => Promise<void>,
): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    await write(piece);
    yield piece;
  }
}
