// Owns what a rebuild keeps of keys for which it has not looked: those of volumes that are not named. A volume that was
// forgotten in `-volumes` has values still, and their keys are not free for others.
import { counted } from "../counted";
import { MkvError } from "../errors";
import { readRecord } from "../format/record";
import { isConfigured, volumeOf } from "../format/volume";
import { type KeyRecord, type RawEntry } from "../ledger/ledger";
import { type ReadIndex } from "../ledger/rebuild";
import { type JobProgress } from "./pool";
import { type Gathering } from "./rebuild";

/**
 * Keeps what the old index says of keys that no file was found of, and that name volumes which are not configured.
 * @param options.nameOf the name that a volume has today
 */
export async function keepUnseen(
  old: ReadIndex,
  options: Pick<Gathering, "next" | "volumes" | "progress"> & { nameOf: (volume: string) => string },
): Promise<void> {
  const { next, volumes, progress, nameOf } = options;
  const isUnseen = (volume: string) => !isConfigured(volumes.topology, nameOf(volume));
  const unseen = new Set<string>();
  let kept = 0;
  for await (const page of pagesOf(old, progress)) {
    const entries: KeyRecord[] = [];
    for (const [key, text] of page) {
      const record = readRecord(text);
      if (!record?.volumes.some(isUnseen) || (await next.get(key))) continue;
      entries.push({ key, record });
      for (const volume of record.volumes.filter(isUnseen)) unseen.add(volumeOf(volume));
    }
    await next.putAll(entries);
    kept += entries.length;
  }
  if (kept === 0) return;
  const names = [...unseen].sort().join(", ");
  progress.note(
    `${counted(kept, "key")} without a file ${kept === 1 ? "is" : "are"} kept as the old index says: ` +
      `-volumes does not name ${names}, where values may lie`,
  );
}

/** The old index as far as it can be read. */
async function* pagesOf(old: ReadIndex, progress: JobProgress): AsyncGenerator<readonly RawEntry[]> {
  try {
    yield* old.scan({});
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    progress.note(
      `keys of volumes that are not in -volumes may be missing: the old index is damaged: ${error.message}`,
    );
  }
}
