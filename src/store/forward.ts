// Owns the second half of a replacement, which can only go forward: the staged files of a new value are moved to its place,
// and the record follows. Whoever meets a key in between ends that first: the write itself, the next start, any operation.
// 1. A volume has moved its file if it says so, or if what lies at the place is of the date and length of the new value. It is
//    on the disk then, where the volume can sync: what was on it before the move is given up.
// 2. The record names those that have. The others, as the copies of the old value elsewhere, are owed. While too few have,
//    and others may yet, nothing changes: for as long as `limits.forwardMs`, since nobody can read the key by S3 meanwhile.
// 3. Where the key has another record than the one that was to be replaced, somebody wrote it who knows of no replacements, as
//    the Go program over the same index: nothing is moved over that. It was never acknowledged.
// 4. Where the recorded copies are not proven (`proof.ts`), what was late for the end may be the last good one: if it is the
//    recorded value, by its MD5, it takes its place, and the record names its volume.
import { nowMs } from "../clock";
import { MkvError, reasonOf } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { place } from "../format/placement";
import { type ValueRecord, readRecord } from "../format/record";
import { sameVolumes, union, volumesOf, without } from "../format/volume";
import { type Claim, type ClaimOptions, type Debt, type Entry, type Forward } from "../ledger/ledger";
import { limits } from "../limits";
import { type FileInfo } from "../volumes/read";
import { type Volumes } from "../volumes/volumes";
import { md5Of } from "./copy";
import { owe, straysIn } from "./debts";
import { writtenUnder } from "./hints";
import { type Pace } from "./pace";
import { provenCopy } from "./proof";
import { type Store } from "./store";

/** Where the value of a key lies before it takes the place of another: on the same disk, so that a rename brings it there. */
export function stagedPathOf(key: Key): string {
  return `/staged${pathOf(key)}`;
}

/** Puts nothing else in the place of what is there. */
export const asItIs = (before: Entry): Entry => before;

/**
 * Claims a key for an operation. A replacement of its value that is under way is ended first.
 * @param options.dryRun whether it is only looked at: a replacement that is under way is left as it is
 * @throws MkvError as `Ledger.claim`; unavailable if a replacement cannot be ended yet, busy for one that is left as it is
 */
export async function claimKey(
  store: Store,
  key: Key,
  begin: (before: Entry) => Entry = asItIs,
  { dryRun = false, ...options }: ClaimOptions & { dryRun?: boolean | undefined } = {},
): Promise<Claim> {
  const beginUnlessReplaced = (before: Entry) => {
    if (!before.forward) return begin(before);
    throw dryRun ? new MkvError("busy", "the value is being replaced: try again") : new Unfinished();
  };
  for (;;) {
    try {
      return await store.ledger.claim(key, beginUnlessReplaced, dryRun ? {} : options);
    } catch (error) {
      if (!(error instanceof Unfinished)) throw error;
    }
    await using claim = await store.ledger.claim(key, asItIs);
    const { late } = await moveStaged(store, claim);
    const ofEarlier = "an earlier replacement of the value has not ended, and nothing of this request is done";
    if (late.size > 0) throw notYet(ofEarlier, late);
  }
}

class Unfinished extends Error {}

/** The failure of what has to wait for a replacement. */
export function notYet(text: string, late: ReadonlyMap<string, string>): MkvError {
  return new MkvError("unavailable", `${text}: ${[...late.values()].join("; ")}`);
}

/**
 * Ends the replacement of a claimed key, if there is one.
 * @param options.isFresh whether what is staged has just been stored
 * @returns the volumes that it has to wait for, with the reasons, and on how many the new value has come to its place
 */
export async function moveStaged(
  store: Store,
  claim: Claim,
  { isFresh = false } = {},
): Promise<{ readonly late: ReadonlyMap<string, string>; readonly moved: number }> {
  const { forward, owed, record: before } = claim.entry;
  const late = new Map<string, string>();
  if (!forward) return { late, moved: 0 };
  if (store.ledger.age === "current" && (await isOvertaken(store, claim.key, { forward, now: before }))) {
    await claim.put({ record: before, owed }, { sync: true });
    return { late, moved: 0 };
  }
  const held = store.volumes.within(claim);
  const volumes = forward.record.volumes.map(store.currentName);
  const moved: string[] = [];
  await Promise.all(
    volumes.map(async (volume) => {
      try {
        if (await isMoved(held, claim.key, volume, { forward, isFresh })) moved.push(volume);
      } catch (error) {
        if (!(error instanceof MkvError)) throw error;
        late.set(volume, reasonOf(error));
      }
    }),
  );
  const isEnough = moved.length >= store.minreplicas || (moved.length > 0 && isOld(owed));
  if (late.size > 0 && !isEnough) return { late, moved: moved.length };
  if (moved.length === 0) {
    // Nothing is staged any more, nor has it come to its place: the old value stays.
    const kept = before?.volumes ?? [];
    const rest = owed.filter(({ kind, volume }) => kind === "staged" || !kept.includes(volume));
    await claim.put({ record: before, owed: rest }, { sync: true });
    return { late, moved: 0 };
  }
  const kept = volumes.filter((volume) => moved.includes(volume));
  if (!sameVolumes(kept, place(claim.key, store.topology)))
    await store.hints.add(claim.key, writtenUnder(store.topology));
  const [unsure, pending] = [[...late.keys()], { forMs: limits.fenceOverMs }];
  const old = union(before?.volumes ?? [], straysIn(owed)); // Strays are copies of it, too.
  const rest = owed.filter(({ kind, volume }) => !(kind === "staged" ? moved : kept).includes(volume));
  const left = owe(rest, without(union(old, unsure), kept), { kind: "left-over" });
  const landing = owe(left, unsure, { kind: "in-flight", ...pending });
  const entry = {
    record: { ...forward.record, volumes: kept },
    owed: owe(landing, unsure, { kind: "staged", ...pending }),
    attributes: forward.attributes,
  };
  await claim.put(entry, { sync: true });
  return { late: new Map(), moved: moved.length };
}

/**
 * Whether the key has another value than either by now: by the MD5s; where one is not known, by a file of a date that the
 * old value cannot have.
 * @throws MkvError unavailable if that is to be told by files, and no volume can be asked
 */
async function isOvertaken(
  { volumes }: Store,
  key: Key,
  { forward: { record, over, bytes, date }, now }: { forward: Forward; now: ValueRecord | undefined },
): Promise<boolean> {
  if (over === undefined) return false;
  if (now?.state !== "live") return true;
  const old = readRecord(over)?.md5;
  if (now.md5 !== undefined && old !== undefined) return now.md5 !== old && now.md5 !== record.md5;
  const asked = await Promise.allSettled(now.volumes.map((volume) => volumes.head(volume, pathOf(key))));
  if (asked.every(({ status }) => status === "rejected"))
    throw new MkvError(
      "unavailable",
      `none of ${now.volumes.join(", ")} says whether the value was replaced meanwhile`,
    );
  const isNew = (file: FileInfo) => file.bytes === bytes && file.modified === date;
  const files = asked.map((answer) => (answer.status === "fulfilled" ? answer.value : undefined));
  return files.some((file) => file && !isNew(file) && Date.parse(file.modified) >= Date.parse(date));
}

/** Whether the new value lies at its place on this volume. Throws MkvError where that is not known. */
async function isMoved(
  volumes: Volumes,
  key: Key,
  volume: string,
  { forward, isFresh }: { forward: Forward; isFresh: boolean },
): Promise<boolean> {
  const path = pathOf(key);
  const sync = volumes.settings.sync || (await volumes.hasSync(volume));
  const isWhole = isFresh || sync || (await isStaged(volumes, key, volume, forward));
  if (isWhole && (await volumes.move(volume, { from: stagedPathOf(key), to: path, sync }))) return true;
  const found = await volumes.head(volume, path);
  if (found?.bytes !== forward.bytes || found.modified !== forward.date) return false;
  if (sync) await volumes.sync(volume, path, { expected: "there" });
  return true;
}

/** Whether what is staged is the new value: where it was not synced, a loss of power may have left less. */
async function isStaged(volumes: Volumes, key: Key, volume: string, forward: Forward): Promise<boolean> {
  const from = stagedPathOf(key);
  const file = await volumes.head(volume, from);
  if (file?.bytes !== forward.bytes || file.modified !== forward.date) return false;
  const { md5 } = forward.record;
  return md5 === undefined || (await md5Of(volumes, volume, from)) === md5;
}

/** Whether the replacement has been under way for so long that it ends with less than was asked for. */
function isOld(owed: readonly Debt[]): boolean {
  const since = owed.filter(({ kind }) => kind === "staged").map(({ sinceMs }) => sinceMs);
  return since.length > 0 && nowMs() - Math.min(...since) > limits.forwardMs;
}

/**
 * Moves what is staged of the recorded value of a claimed key, if it is needed. Throws MkvError if the ledger fails.
 * @param pace how fast copies may be read
 */
export async function moveLate(store: Store, claim: Claim, pace: Pace): Promise<void> {
  const { record, owed, forward } = claim.entry;
  if (forward || record?.state !== "live" || record.md5 === undefined) return;
  const volumes = store.volumes.within(claim);
  const isReady = (volume: string) => volumes.health.isSettled(store.currentName(volume));
  const late = owed.filter((debt) => debt.kind === "staged" && debt.untilMs <= nowMs() && isReady(debt.volume));
  if (late.length === 0) return;
  const sinceMs = Math.min(...late.map((debt) => debt.sinceMs));
  const proof = await provenCopy(store, claim.key, { record, sinceMs, pace });
  if (proof && proof !== "damaged") return;
  const moved: string[] = [];
  for (const volume of volumesOf(late).map(store.currentName))
    if (await moveIfSame(volumes, claim.key, { volume, md5: record.md5 })) moved.push(volume);
  if (moved.length === 0) return;
  const named = union(record.volumes.map(store.currentName), moved);
  await claim.put({ record: { ...record, volumes: named }, owed }, { sync: true });
  await store.hints.add(claim.key, { why: "missing" });
}

/** Moves what is staged on a volume to its place if it has this MD5; returns whether it has. What cannot be read or moved stays. */
export async function moveIfSame(
  volumes: Volumes,
  key: Key,
  { volume, md5 }: { volume: string; md5: string },
): Promise<boolean> {
  const from = stagedPathOf(key);
  try {
    const sync = volumes.settings.sync || (await volumes.hasSync(volume));
    return (
      (await md5Of(volumes, volume, from)) === md5 && (await volumes.move(volume, { from, to: pathOf(key), sync }))
    );
  } catch (error) {
    if (error instanceof MkvError) return false;
    throw error;
  }
}
