// Owns what an old index tells a rebuild: which keys are unlinked, the hashes, and the keys of which no file was found. Those
// stay in the index: their values lie on volumes that `-volumes` does not name, or are lost, which must not look like keys
// that never were. An old index is only believed of the write that it speaks of.
import { counted } from "../log";
import { MkvError } from "../errors";
import { type Key, showKey } from "../format/key";
import { pathOf } from "../format/path";
import { type ValueRecord, decodeRecord, readRecord } from "../format/record";
import { isConfigured, volumeOf } from "../format/volume";
import { type KeyRecord, type RawEntry } from "../ledger/ledger";
import { type Owed, type ReadIndex, type SuspectFiles, type WrittenIndex } from "../ledger/next";
import { limits } from "../limits";
import { md5Of } from "../store/copy";
import { type Volumes } from "../volumes/volumes";
import { type JobProgress, each } from "./pool";

/** A value as its files tell it: live, without a hash. */
export type Found = KeyRecord & { readonly modified: string };

/** Whom a rebuild asks beside the files. */
export type Facts = {
  readonly old: ReadIndex | undefined;
  readonly owed: Owed;
  readonly suspect: SuspectFiles | undefined;
  /** The names that places have now, by those that they had. */
  readonly renamed: ReadonlyMap<string, string>;
  readonly volumes: Volumes;
  readonly progress: JobProgress;
};

type OldFacts = Facts & {
  readonly old: ReadIndex;
  readonly next: WrittenIndex;
};

/**
 * Gives the new records what only the old index knows (one that is suspect was asked for each key already), and keeps those
 * of keys without a file: of volumes that are not configured, and of values that are lost.
 */
export async function keepOldFacts(job: OldFacts): Promise<void> {
  const { old, next, suspect, progress } = job;
  const without = new WithoutFile(job);
  const onDamage = () =>
    progress.note(
      "the old index is damaged: each key with a file is looked up in what is left of it, others may be missing",
    );
  const known = alongside(old, { onDamage, onPassed: (entry) => without.take(entry) });
  for await (const page of next.scan({})) {
    const entries: KeyRecord[] = [];
    for (const [key, text] of page) {
      const record = await known.get(key).catch((error) => unreadable(progress, key, error));
      const found = { key, record: decodeRecord(text), modified: "" };
      if (record && !suspect) entries.push(await withFacts(job, found, byCurrentNames(record, job)));
    }
    await next.putAll(entries);
  }
  await known.end();
  await without.end();
}

/** Keys of the old index of which no file was found. */
class WithoutFile {
  readonly #batch: KeyRecord[] = [];
  readonly #unnamed = new Set<string>();
  readonly #firstLost: string[] = [];
  #unseen = 0;
  #lost = 0;

  constructor(readonly job: OldFacts) {}

  async take([key, text]: RawEntry): Promise<void> {
    const { next, suspect, volumes, progress } = this.job;
    const record = readRecord(text);
    if (!record)
      return progress.note(`${JSON.stringify(showKey(key))}: its record is damaged, and it has no file: not kept`);
    const kept = byCurrentNames(record, this.job);
    const unnamed = kept.volumes.filter((volume) => !isConfigured(volumes.topology, volume));
    if (unnamed.length > 0) {
      this.#unseen++;
      for (const volume of unnamed) this.#unnamed.add(volumeOf(volume));
    } else {
      if (record.state === "unlinked") return; // Nobody could read it.
      if (++this.#lost <= limits.keysNamed) this.#firstLost.push(JSON.stringify(showKey(key)));
      if (suspect) return; // It may have been deleted since.
    }
    this.#batch.push({ key, record: kept });
    if (this.#batch.length >= limits.batchRecords) await next.putAll(this.#batch.splice(0));
  }

  /** Puts the rest, and says what was kept, and what is lost. */
  async end(): Promise<void> {
    const { next, suspect, progress } = this.job;
    await next.putAll(this.#batch.splice(0));
    if (this.#unseen > 0) {
      const names = [...this.#unnamed].sort().join(", ");
      progress.note(
        `${counted(this.#unseen, "key")} without a file ${this.#unseen === 1 ? "is" : "are"} kept as the old index says: ` +
          `-volumes does not name ${names}, where values may lie`,
      );
    }
    if (this.#lost === 0) return;
    const [have, they, them] = this.#lost === 1 ? ["has", "it", "it"] : ["have", "they", "them"];
    const first = this.#firstLost.join(", ") + (this.#lost > limits.keysNamed ? ", ..." : "");
    const what = `${counted(this.#lost, "key")} of the old index ${have} no copy on any volume (${first})`;
    const fate = suspect
      ? `not kept: that index is older than the volumes, and ${they} may have been deleted since`
      : `kept, and a GET is 410 until the disk or files that had ${them} are back: DELETE ${them} if ${they} cannot be had`;
    progress.note(`${what}: ${fate}`);
  }
}

/** Looks keys up in their order, by a scan that goes along with them; one by one from where the index is damaged. */
function alongside(
  index: ReadIndex,
  { onDamage, onPassed }: { onDamage: () => void; onPassed: (entry: RawEntry) => Promise<void> },
) {
  const entries = each(index.scan({}));
  let at: IteratorResult<RawEntry, unknown> | undefined;
  let isDamaged = false;
  const advance = async () => {
    try {
      at = await entries.next();
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      isDamaged = true;
      onDamage();
    }
  };
  const passTo = async (isReached: (key: Key) => boolean) => {
    if (!at) await advance();
    while (!isDamaged && !at!.done && !isReached(at!.value[0])) {
      await onPassed(at!.value);
      await advance();
    }
  };
  return {
    async get(key: Key): Promise<ValueRecord | undefined> {
      await passTo((other) => Buffer.compare(other, key) >= 0);
      if (isDamaged) return index.get(key);
      if (at!.done || Buffer.compare(at!.value[0], key) !== 0) return undefined;
      const [, text] = at!.value;
      await advance();
      return decodeRecord(text);
    },
    /** Goes on to the end of the index. */
    end: () => passTo(() => false),
  };
}

/** A value with state and hash of an old record, where that speaks of this write; if in doubt, the value is read. */
export async function withFacts(
  { suspect, owed, volumes, progress }: Facts,
  found: Found,
  old: ValueRecord,
): Promise<KeyRecord> {
  const { key, record } = found;
  const isReplaced = owed.size > 0 && owed.get(key.toHex())?.isReplaced === true;
  const mayBeLater = isReplaced || isSuspect(suspect, found.modified);
  const areStrays = record.volumes.every((volume) => owed.get(key.toHex())?.strays.includes(volume));
  const isElsewhere =
    !areStrays &&
    !old.volumes.some((volume) => record.volumes.includes(volume)) &&
    old.volumes.some((volume) => isConfigured(volumes.topology, volume));
  if (!mayBeLater && !isElsewhere) return { key, record: { ...old, volumes: record.volumes } };
  if (old.md5 === undefined) return found;
  const isLater = suspect !== undefined && Date.parse(found.modified) >= suspect.laterMs;
  const hashes = new Set<string | undefined>();
  for (const volume of record.volumes) {
    const md5 = await md5Of(volumes, volume, pathOf(key)).catch(unknownHash);
    if (md5 === old.md5 && !isLater) return { key, record: { ...old, volumes: record.volumes } };
    hashes.add(md5);
  }
  const said = "a copy cannot be read: if it is of what was unlinked, UNLINK it again";
  if (hashes.has(undefined) && old.state === "unlinked") progress.note(`${JSON.stringify(showKey(key))}: ${said}`);
  const [md5] = hashes.size === 1 ? hashes : []; // After a loss of power a copy may have no more than its length.
  return { key, record: { ...record, md5 } };
}

/** Of what cannot be read: a rebuild goes on, and `verify` finds it. */
export function unknownHash(error: unknown): undefined {
  if (!(error instanceof MkvError)) throw error;
}

/** Whether a file of this date may be of a write that the old index does not know of. */
export function isSuspect(suspect: SuspectFiles | undefined, modified: string): boolean {
  return suspect !== undefined && Date.parse(modified) >= suspect.fromMs;
}

/** What the old index says of a key, by the names of now; nothing if it is damaged there. */
export async function oldRecord(
  facts: Pick<Facts, "old" | "progress" | "renamed">,
  key: Key,
): Promise<ValueRecord | undefined> {
  try {
    const record = await facts.old?.get(key);
    return record && byCurrentNames(record, facts);
  } catch (error) {
    return unreadable(facts.progress, key, error);
  }
}

function byCurrentNames(record: ValueRecord, { renamed }: Pick<Facts, "renamed">): ValueRecord {
  return { ...record, volumes: record.volumes.map((volume) => renamed.get(volume) ?? volume) };
}

function unreadable(progress: JobProgress, key: Key, error: unknown): undefined {
  if (!(error instanceof MkvError)) throw error;
  progress.note(`${JSON.stringify(showKey(key))}: its old record cannot be read: if it was unlinked, UNLINK it again`);
}
