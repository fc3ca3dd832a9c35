// Owns uploads in parts: what is remembered of one, and its parts, which are values under keys that no list shows.
//   "upload " key in hex " " ID -> Upload          in the ledger's memory
//   "ended upload " ID -> true                     the same: it is over, and its parts are to be removed
//   part := "/mkv:uploads/" ID "/" NNNNN           ID begins with the time of its start, in milliseconds of the wall
// 1. A part counts if its upload is remembered before and after it is written. So whoever ends one forgets it before its parts
//    are removed: nobody adds to it, or completes it with what is left.
// 2. What cannot be removed then is swept, as are uploads whose object is there. What else a crash has left of an upload is
//    swept when uploads of its age are.
// 3. The age of an upload is by the wall's clock, which may jump: none is ended that this process has not known as too old for
//    `s3Limits.knownOldMs`, by a clock that does not.
import { nowMs } from "../clock";
import { hasCode, reasonOf } from "../errors";
import { type Key, prefixEnd } from "../format/key";
import { isUnlinked } from "../format/record";
import { type Attributes, type KeyRange, type MemoryPage, entriesOf } from "../ledger/ledger";
import { s3Limits } from "../s3-limits";
import { shaped } from "../shape";
import { warn } from "../log";
import { deleteKey } from "./delete";
import { again, inBackground } from "./maintain";
import { lookAt, recordedAt } from "./read";
import { retryBusy } from "../ledger/retry-busy";
import { type Store } from "./store";
import { inBatches } from "../turns";

/** What is remembered of an upload. */
export type Upload = {
  /** Those of the object that is to be. */
  readonly attributes: Attributes;
  /** By what there are sums; undefined for none. */
  readonly sums?: string | undefined;
  /** Whether the object has the sum of all its bytes: else it has one of the sums of its parts. */
  readonly isWhole?: boolean | undefined;
};

/** A part that was stored. */
export type Part = {
  readonly number: number;
  readonly key: Key;
  readonly md5: string;
  readonly attributes: Attributes;
};

const reservedName = "/mkv:uploads/";
const reserved = Buffer.from(reservedName);
/** Under which names uploads are remembered. */
export const uploadPrefix = "upload ";
const endedPrefix = "ended upload ";
/** The attribute of an object that names the upload that it came by. */
export const uploadName = "upload";

/** Whether a key as `showKey` shows it is that of a part: it is nobody's but the upload's. */
export function isReservedName(shown: string): boolean {
  return shown.startsWith(reservedName);
}

/** The same of the bytes of a key. */
export function isReserved(key: Uint8Array): boolean {
  return key[4] === 0x3a && key.length >= reserved.length && reserved.equals(key.subarray(0, reserved.length));
}

/** Begins an upload, and returns its id. */
export async function beginUpload({ ledger }: Store, key: Key, upload: Upload): Promise<string> {
  const id = timeInHex(Date.now()) + crypto.getRandomValues(new Uint8Array(10)).toHex();
  await ledger.memory.put(nameOf(key, id), upload);
  return id;
}

/** What is remembered of an upload; undefined if it is over, damaged, or was never begun for this key. */
export async function uploadOf({ ledger }: Store, key: Key, id: string): Promise<Upload | undefined> {
  return readUpload(await ledger.memory.get(nameOf(key, id)));
}

/** The key of a part. */
export function partKey(id: string, number: number): Key {
  return Buffer.from(`${reserved}${id}/${String(number).padStart(5, "0")}`) as Uint8Array as Key;
}

/** The parts of an upload, by their numbers, which begin after this one. */
export async function* partsOf(store: Store, id: string, after = 0): AsyncGenerator<Part> {
  for await (const page of store.ledger.scan(rangeOf(id, after + 1))) {
    for (const [key, record] of page) {
      const number = Number(/\/(\d{5})$/.exec(Buffer.from(key.subarray(-6)).toString())?.[1]);
      const part = isUnlinked(record) || !number ? undefined : await lookAt(store, key);
      if (!part) continue;
      yield { number, key, md5: part.record.md5 ?? "", attributes: part.attributes ?? {} };
    }
  }
}

/** Ends an upload: it is over once this has returned. `gone`: nothing is left of it. What that throws is left to the sweep. */
export async function endUpload(store: Store, key: Key, id: string): Promise<{ readonly gone: Promise<void> }> {
  const { memory } = store.ledger;
  await memory.put(endedPrefix + id, true);
  await memory.delete(nameOf(key, id));
  return { gone: removeEnded(store, id) };
}

/** Ends all uploads of keys that begin with this. Throws MkvError if a part cannot be removed; they may be ended again then. */
export async function endUploads(store: Store, prefix: Uint8Array): Promise<void> {
  for await (const entry of entriesOf(store.ledger.memory, uploadPrefix + prefix.toHex())) {
    const { key, id } = entryOf(entry);
    await (
      await endUpload(store, key, id)
    ).gone;
  }
}

/** Removes a part, if it is there. */
export async function removePart(store: Store, key: Key): Promise<void> {
  try {
    await retryBusy(() => deleteKey({ ...store, protect: false }, key), s3Limits.busyMs);
  } catch (error) {
    if (!hasCode(error, "absent")) throw error;
  }
}

/**
 * A page of the uploads whose keys begin with this, in the order of keys and ids.
 * @param options.after what it begins after; without an id, all of this key
 */
export async function uploadsPage(
  { ledger }: Store,
  prefix: Uint8Array,
  { after, atMost }: { after: { key: Uint8Array; id: string }; atMost: number },
): Promise<Remembered[]> {
  const begin = uploadPrefix + prefix.toHex();
  const last = nameOf(after.key, after.id || "~");
  const page = await ledger.memory.page(begin, { after: last > begin ? last : undefined, atMost });
  return page.map(entryOf);
}

type Remembered = { readonly key: Key; readonly id: string; readonly startedMs: number; readonly upload: Upload };

/** Nobody can complete one that is damaged; it is listed, and swept. */
function entryOf([name, value]: MemoryPage[number]): Remembered {
  const [, hex = "", id = ""] = name.split(" ");
  const startedMs = Number.parseInt(id.slice(0, 12), 16) || 0;
  return {
    key: Buffer.from(hex, "hex") as Uint8Array as Key,
    id,
    startedMs,
    upload: readUpload(value) ?? { attributes: {} },
  };
}

function readUpload(found: unknown): Upload | undefined {
  return shaped(found, { attributes: { "*": "" }, "sums?": "", "isWhole?": false });
}

function nameOf(key: Uint8Array, id: string): string {
  return `${uploadPrefix}${key.toHex()} ${id}`;
}

/** What ids begin with: in their order uploads of one key are in that of their times. */
function timeInHex(ms: number): string {
  return ms.toString(16).padStart(12, "0");
}

function rangeOf(id: string, first = 0): KeyRange {
  return { start: partKey(id, first), end: prefixEnd(partKey(id, 0).subarray(0, -5)) };
}

async function removeEnded(store: Store, id: string): Promise<void> {
  for await (const page of store.ledger.scan(rangeOf(id)))
    await inBatches(page, s3Limits.deletesAtOnce, ([key]) => removePart(store, key));
  await store.ledger.memory.delete(endedPrefix + id);
}

/** Since when uploads, by their ids, are known as too old, by `nowMs`. */
export type OldUploads = Map<string, number>;

/** Ends the uploads that are over, or too old, and what has been left of others, again and again until it is disposed of. */
export function sweepUploads(store: Store): AsyncDisposable {
  const old: OldUploads = new Map();
  const fail = (error: unknown) => warn(`old uploads are not all removed: ${reasonOf(error)}`);
  return inBackground((stop) => again(stop, s3Limits.sweepMs, () => sweep(store, old, stop).catch(fail)));
}

/**
 * Ends what is over, or has been known as too old for long, and remembers in `old` what else is too old now. Throws the first
 * failure, at the end: none keeps the others from being ended.
 */
export async function sweep(store: Store, old: OldUploads, stop: AbortSignal): Promise<void> {
  const { memory } = store.ledger;
  let failure: unknown;
  const noted = (work: Promise<void>) => work.catch((error: unknown) => void (failure ??= error));
  const seen = new Set<string>();
  const isOver = (id: string) => {
    const sinceMs = old.get(id) ?? nowMs();
    if (old.size < s3Limits.oldUploads) old.set(id, sinceMs);
    if (old.has(id)) seen.add(id);
    return nowMs() - sinceMs >= s3Limits.knownOldMs;
  };
  const beforeMs = Date.now() - s3Limits.uploadMs;
  const endIfOver = async ({ key, id, startedMs }: Remembered) => {
    const isDue =
      (startedMs < beforeMs && isOver(id)) || (await recordedAt(store, key))?.attributes?.[uploadName] === id;
    if (isDue) await (await endUpload(store, key, id)).gone;
  };
  for await (const [name] of entriesOf(memory, endedPrefix)) {
    if (stop.aborted) return;
    await noted(removeEnded(store, name.slice(endedPrefix.length)));
  }
  for await (const entry of entriesOf(memory, uploadPrefix)) {
    if (stop.aborted) return;
    await noted(endIfOver(entryOf(entry)));
  }
  const end = Buffer.from(reservedName + timeInHex(beforeMs));
  for await (const page of store.ledger.scan({ start: reserved, end })) {
    for (const [key] of page) {
      if (stop.aborted) return;
      const id = Buffer.from(key.subarray(reserved.length)).toString().split("/", 1)[0]!;
      if (isOver(id)) await noted(removePart(store, key));
    }
  }
  for (const id of old.keys()) if (!seen.has(id)) old.delete(id);
  if (failure) throw failure;
}
