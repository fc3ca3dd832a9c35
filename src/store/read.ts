// Owns the reading of values for those who cannot follow a redirect: what a key is now, and its bytes, through the master.
// 1. What is said of a value and its bytes are of one write: a file is opened between two looks that agree. Whoever meets a
//    key that is being replaced waits for the end of that.
// 2. A volume that fails in the middle is followed by another one, from the next byte on, if its file is of the same write.
import { MkvError, hasCode, reasonOf } from "../errors";
import { type Key, showKey } from "../format/key";
import { pathOf } from "../format/path";
import { type ValueRecord, leastBytesOf } from "../format/record";
import { without } from "../format/volume";
import { type Attributes, type KnownValue } from "../ledger/ledger";
import { limits } from "../limits";
import { s3Limits } from "../s3-limits";
import { type ByteRange, type FileInfo, type OpenFile } from "../volumes/read";
import { pickVolume } from "./find";
import { claimKey } from "./forward";
import { type BadCopies, proven } from "./recopy";
import { retryBusy } from "../ledger/retry-busy";
import { type Store } from "./store";
import { writtenFile } from "./written";

/** A live value; nothing is kept beside the record of one that came without attributes. */
export type Value = { readonly record: ValueRecord; readonly attributes: Attributes | undefined };

/** A live value, and what its volumes say of its file. */
export type SeenValue = Value & FileInfo;

/** What a key is now; undefined if it is not live. Throws MkvError busy, unavailable while it is being replaced. */
export async function lookAt(store: Store, key: Key): Promise<Value | undefined> {
  let known = await store.ledger.look(key);
  if (known.forward) known = await retryBusy(() => afterReplacement(store, key), limits.patienceMs);
  return valueIn(known);
}

function valueIn({ record, attributes }: KnownValue): Value | undefined {
  return record?.state === "live" ? { record, attributes } : undefined;
}

/** The same for a list, which waits for no volume: of a key that is being replaced it is the value before. */
export async function recordedAt({ ledger }: Store, key: Key): Promise<Value | undefined> {
  return valueIn(await ledger.look(key));
}

/** The same once the replacement of its value has ended: whoever carries it out has the key until then. */
async function afterReplacement(store: Store, key: Key): Promise<KnownValue> {
  await using claim = await claimKey(store, key);
  return claim.entry;
}

/** The same with length and time. Throws MkvError gone if no volume has it, unavailable if none of those can be asked. */
export async function statValue(store: Store, key: Key): Promise<SeenValue | undefined> {
  return await askForValue(store, key, (volume) => store.volumes.head(volume, pathOf(key)));
}

/** The same of the record alone, whatever lies beside it. Throws as `statValue`. */
export async function statRecord(store: Store, key: Key): Promise<SeenValue | undefined> {
  const value = valueIn({ record: await store.ledger.get(key) });
  if (!value) return undefined;
  const file = await fromAny(store, key, value.record, async (volume) => {
    const found = await store.volumes.head(volume, pathOf(key));
    if (!found) throw new MkvError("absent", `${volume} has no copy`);
    return found;
  });
  return { ...value, ...file };
}

/** The same with its file, open at its beginning: one request to a volume, where others take two. Throws as `statValue`. */
async function openWhole(store: Store, key: Key): Promise<OpenValue | undefined> {
  const open = async (volume: string) => {
    const file = await store.volumes.open(volume, pathOf(key));
    return { volume, file, bytes: file.bytes, modified: file.modified };
  };
  return await askForValue(store, key, open, ({ file }) => file.close());
}

type OpenValue = SeenValue & { readonly volume: string; readonly file: OpenFile };

/**
 * Reads a live value.
 * @param choose is shown what it is, and says which bytes of it are wanted; undefined for none. What it throws is thrown
 * @param options.bad copies that are not to be read: those of a whole value are proven to be the recorded one then (`recopy.ts`)
 * @param options.isWhole whether all of it will be chosen, most likely
 * @returns undefined if there is no such key
 */
export async function openValue(
  store: Store,
  key: Key,
  choose: (seen: SeenValue) => ByteRange | undefined,
  { bad, isWhole = false }: { bad?: BadCopies | undefined; isWhole?: boolean } = {},
): Promise<(SeenValue & { readonly chunks: AsyncIterable<Uint8Array> | undefined }) | undefined> {
  for (let tries = 1; ; tries++) {
    const opened = isWhole && !bad ? await openWhole(store, key) : undefined;
    const seen = opened ?? (await statValue(store, key));
    if (!seen) return undefined;
    using unused = new DisposableStack();
    if (opened) unused.defer(() => opened.file.close());
    const range = choose(seen);
    if (!range || range.bytes === 0) return { ...seen, chunks: undefined };
    const whole = range.bytes === seen.bytes ? opened : undefined;
    const reading = readingOf(store, key, { seen, range, whole, avoid: bad?.get(key.toHex()) ?? [] });
    try {
      if (whole) unused.move();
      await reading.open();
      const chunks = reading.chunks();
      const { md5 } = seen.record;
      const isProven = bad !== undefined && md5 !== undefined && range.bytes === seen.bytes;
      return {
        ...seen,
        chunks: isProven ? proven(store, key, { chunks, md5, from: () => reading.used, bad }) : chunks,
      };
    } catch (error) {
      const isOther = (await lookAt(store, key))?.record.md5 !== seen.record.md5;
      if (!isOther || tries === s3Limits.readTries) throw error;
    }
  }
}

/**
 * What one of its volumes says of a value that did not change meanwhile; a copy that is found missing, or cut off, is told of.
 * @param drop is given what was found in vain
 */
async function askForValue<T extends FileInfo>(
  store: Store,
  key: Key,
  ask: (volume: string) => Promise<T | undefined>,
  drop: (found: T) => void = () => {},
): Promise<(Value & T) | undefined> {
  let isMissing = false;
  for (let isLast = false; ; isLast = true) {
    const value = await lookAt(store, key);
    if (!value) return undefined;
    const { record, attributes } = value;
    const bytes = writtenFile(attributes)?.bytes;
    const asked = fromAny(store, key, record, async (volume) => {
      const file = await ask(volume).catch((error: unknown) => {
        if (!hasCode(error, "absent")) throw error;
      });
      const isWhole = file && (bytes === undefined ? file.bytes >= leastBytesOf(record.md5) : file.bytes === bytes);
      if (isWhole) return file;
      isMissing = true;
      if (file) drop(file);
      if (!file || bytes === undefined) throw new MkvError("absent", `${volume} has no copy`);
      throw new MkvError("corrupt", `${volume} has a copy of ${file.bytes} bytes instead of ${bytes}`);
    });
    const [found, failure] = await asked.then(
      (file) => [file] as const,
      (error: unknown) => [undefined, error] as const,
    );
    using unused = new DisposableStack();
    if (found) unused.defer(() => drop(found));
    const isSame = (await lookAt(store, key))?.record.md5 === record.md5;
    if (isSame && found) {
      unused.move();
      if (isMissing) store.hints.tell(key); // It is looked at under its claim: it may be moved just now.
      return { ...value, ...found };
    }
    if (isSame || isLast) throw failure ?? new MkvError("busy", "the value changes: try again");
  }
}

/** The answer of one volume of a record, those that are up first. Throws MkvError gone, unavailable. */
async function fromAny<T>(
  { volumes, ledger }: Pick<Store, "volumes" | "ledger">,
  key: Key,
  record: ValueRecord,
  ask: (volume: string) => Promise<T>,
): Promise<T> {
  const reasons: string[] = [];
  let isSilent = false;
  for (let left = record.volumes; left.length > 0;) {
    const volume = pickVolume(left, volumes);
    left = without(left, [volume]);
    try {
      return await ask(volume);
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      reasons.push(reasonOf(error));
      if (error.code !== "absent") isSilent = true;
    }
  }
  const text = `no volume has ${JSON.stringify(showKey(key))}, or can be reached: ${reasons.join("; ")}`;
  throw new MkvError(isSilent || ledger.age !== "current" ? "unavailable" : "gone", text);
}

/**
 * The bytes of a range, from one volume after the other if they fail; `used` are those that they came from.
 * @param how.whole all of it, where that is open
 */
function readingOf(
  store: Store,
  key: Key,
  how: { seen: SeenValue; range: ByteRange; whole: OpenValue | undefined; avoid: readonly string[] },
) {
  const { seen, whole } = how;
  const used = whole ? [whole.volume] : [];
  let left = without(seen.record.volumes, [...how.avoid, ...used]);
  let file = whole?.file;
  let { from, bytes } = how.range;

  /** Opens the file on another volume. Throws MkvError gone, unavailable; corrupt if none is left that is to be read. */
  async function open(): Promise<OpenFile> {
    if (left.length === 0) throw new MkvError("corrupt", "no copy of this value that can be read is good");
    return await fromAny(store, key, { ...seen.record, volumes: left }, async (volume) => {
      left = without(left, [volume]);
      const opened = await store.volumes.open(volume, pathOf(key), { from, bytes });
      if (opened.bytes === seen.bytes && opened.modified === seen.modified) {
        used.push(volume);
        return opened;
      }
      opened.close();
      throw new MkvError("corrupt", `${volume} has a copy of another write`);
    });
  }

  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (; bytes > 0; file = undefined) {
      file ??= await open();
      try {
        for await (const chunk of file.chunks) {
          [from, bytes] = [from + chunk.length, bytes - chunk.length];
          yield chunk;
        }
      } catch (error) {
        if (!(error instanceof MkvError) || left.length === 0) throw error;
      }
    }
  }

  return { used, chunks, open: async () => void (file ??= await open()) };
}

/**
 * Puts other attributes beside a live value: what `change` makes of those of now.
 * @throws MkvError absent, busy, forbidden (protected); what `change` throws
 */
export async function setAttributes(store: Store, key: Key, change: (now: Value) => Attributes): Promise<void> {
  await using _claim = await claimKey(store, key, (before) => {
    const now = valueIn(before);
    if (!now) throw new MkvError("absent", "there is no such key");
    if (store.protect) throw new MkvError("forbidden", "protected: a live value keeps its metadata");
    return { record: now.record, owed: before.owed, attributes: change(now) };
  });
}
