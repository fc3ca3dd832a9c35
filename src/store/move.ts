// Owns the commit of a move: bringing one key to the volumes where it belongs, whole.
// 1. The journal owes the volumes that get a copy. A crash from here on leaves the record as it was; the next start removes
//    the new copies.
// 2. A good copy is streamed to every target that has none, and synced where the volumes can. A damaged copy is never the
//    source, and on a target it is replaced; where no copy is good, nothing is removed. Where copies are to go, one that
//    stays has been read to its end, even if no target lacks one.
// 3. The record names the targets: the commit. The old copies elsewhere are owed with it, as strays. Not those that the move could
//    not see, on volumes that are nobody's any more: they may be dead for good, and it is remembered of the volume instead that
//    its files are of an earlier time.
// 4. They stay for a while: until the new ones are surely on the disks, and nobody reads the old ones any more. With no such
//    while they go at once, if what the move has seen, read and stored is not a second old; else after another look.
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { place } from "../format/placement";
import { type ValueRecord } from "../format/record";
import { isConfigured, sameVolumes, union, without } from "../format/volume";
import { type Claim } from "../ledger/ledger";
import { limits } from "../limits";
import { refuseForeign } from "../volumes/warnings";
import { older, requireHarmless } from "./older";
import { cleanUp, cleanUpCommitted } from "./cleanup";
import { barredFrom, landed, owe, straysIn, roomForStrays } from "./debts";
import { type Depth, type Inspected, inspectCopies, volumesIn } from "./copies";
import { copy } from "./copy";
import { asItIs, claimKey } from "./forward";
import { type Pace } from "./pace";
import { rememberLeft } from "./places/put-back";
import { type Store } from "./store";
import { withStrays } from "./strays";

/** What a move did, or would do. `leftBehind`: volumes that are neither configured nor reachable and may still hold a copy. */
export type Moved = {
  readonly changed: boolean;
  readonly leftBehind: readonly string[];
  /** Bytes of the copies that were made. */
  readonly bytes: number;
};

/**
 * Brings a key to the volumes where it belongs, with a good copy on each; state and hash stay.
 * @throws MkvError absent, busy; gone, corrupt (no good copy), unavailable (a volume that is needed does not answer),
 * too-much-owed
 */
export async function moveKey(store: Store, key: Key, how: MoveOptions): Promise<Moved> {
  if (!how.dryRun) await roomForStrays(store);
  await using claim = await claimKey(store, key, asItIs, { dryRun: how.dryRun, sends: "streams" });
  const { record } = claim.entry;
  if (!record) throw new MkvError("absent", "there is no such key");
  const { targets = place(key, store.topology) } = how;
  const moves = !how.dryRun && !sameVolumes(record.volumes, targets);
  const open = moves ? targets.find((volume) => record.volumes.includes(volume)) : undefined;
  const seen = await inspectCopies(store.volumes, key, record, { ...how, open });
  try {
    return await bringHome(store, claim, seen, { ...how, targets });
  } finally {
    seen.opened?.file.close();
  }
}

/** How a key is brought home. */
export type MoveOptions = {
  /** As asked for: damaged copies are only set aside where all bytes were to be read. */
  readonly depth: Depth;
  /** Where the copies are to be, in order; where the key belongs, unless something else is said. */
  readonly targets?: readonly string[] | undefined;
  /** How fast copies may be made. */
  readonly pace?: Pace | undefined;
  /** Whether it is only found out what would be done. */
  readonly dryRun?: boolean | undefined;
};

/** The move of a claimed key with a record, whose copies have just been looked at. Throws as `moveKey`. */
export async function bringHome(
  ofAll: Store,
  claim: Claim,
  seenFirst: Inspected,
  { depth, pace, dryRun = false, targets = place(claim.key, ofAll.topology) }: MoveOptions,
): Promise<Moved> {
  const store = { ...ofAll, volumes: ofAll.volumes.within(claim) };
  await requireReady(store, claim, targets);
  const { record, seen } = await withStrays(store, claim, { seen: seenFirst, dryRun });
  const good = volumesIn(seen, "good");
  if (good.length === 0) return await withoutGood(store, claim, { seen, depth, dryRun });
  requireSeen(store, record, seen);
  const lacking = without(targets, good);
  const isRight = seen.md5 === undefined || record.md5 === undefined || seen.md5 === record.md5;
  if (lacking.length === 0 && isRight && sameVolumes(record.volumes, targets)) return unchanged;

  const strays = without(record.volumes, targets);
  if (store.ledger.age === "older") await requireHarmless(store, claim, { seen, strays, lacking });
  const lost = await leftBehind(store, seen, strays);
  const owing = without(strays, lost);
  await store.places.requireDistinct(owing, targets);
  const bytes = lacking.length * seen.bytes;
  if (dryRun) return { changed: true, leftBehind: lost, bytes };
  const synced = await Promise.all(targets.map((volume) => store.volumes.canSync(volume)));
  const isSynced = synced.every(Boolean);
  try {
    const added = without(lacking, straysIn(claim.entry.owed)); // A copy that is a stray stays one.
    const owed = owe(claim.entry.owed, added, { kind: "in-flight", forMs: limits.fenceOverMs });
    if (lacking.length > 0) await claim.put({ record, owed }); // 1.
    const isUnread = strays.length > 0 && seen.depth !== "md5";
    if (lacking.length > 0 || isUnread) await fill(store, claim.key, { targets, seen, sync: isSynced, pace }); // 2.
    if (isSynced) await syncAll(store, claim.key, without(targets, lacking));
  } catch (error) {
    await claim.put({ record, owed: landed(store, claim.entry.owed, lacking) });
    await cleanUp(store, claim);
    throw error;
  }
  const moved = { ...record, md5: isRight ? record.md5 : seen.md5, volumes: targets };
  const rest = claim.entry.owed.filter(({ kind, volume }) => kind === "staged" || !targets.includes(volume));
  const forMs = isSynced ? Math.min(limits.readersMs, store.graceMs) : store.graceMs;
  const isKnown = seen.depth === "md5" && record.md5 !== undefined && isRight;
  const wrong = isKnown ? volumesIn(seen, "differs").filter((volume) => owing.includes(volume)) : [];
  const left = owe(owe(rest, wrong, { kind: "left-over" }), without(owing, wrong), { kind: "stray", forMs });
  for (const volume of lost) await rememberLeft(store.ledger.memory, volume);
  await claim.put({ record: moved, owed: left }, { sync: isSynced }); // 3. The commit.
  await cleanUpCommitted(store, claim, { wholeSinceMs: seen.sinceMs }); // 4.
  return { changed: true, leftBehind: lost, bytes };
}

const unchanged: Moved = { changed: false, leftBehind: [], bytes: 0 };

/** Throws MkvError busy or unavailable unless all volumes where a key belongs can be written to. */
async function requireReady({ volumes }: Store, claim: Claim, targets: readonly string[]): Promise<void> {
  const barred = barredFrom(claim, claim.entry.owed);
  const late = targets.find((target) => barred.includes(target));
  if (late) throw new MkvError("busy", `${late} may still carry out an earlier request for this key: try again`);
  for (const target of targets) refuseForeign(volumes.health, target);
  const ready = await Promise.all(targets.map((volume) => volumes.wake(volume)));
  const asleep = targets.filter((_, i) => !ready[i]);
  const silent = asleep.filter((volume) => !volumes.health.isUp(volume));
  if (silent.length > 0) throw new MkvError("unavailable", `${silent.join(", ")} does not answer`);
  if (asleep.length > 0)
    throw new MkvError("busy", `${asleep.join(", ")} may still carry out earlier requests: try again`);
}

/** Throws MkvError unavailable if a copy that nobody has seen may be the only good one. */
function requireSeen({ topology }: Store, record: ValueRecord, seen: Inspected): void {
  const unseen = volumesIn(seen, "unknown").filter((volume) => isConfigured(topology, volume));
  if (record.md5 !== undefined || unseen.length === 0) return;
  throw new MkvError(
    "unavailable",
    `${unseen.join(", ")} does not answer, and without an MD5 may have the only good copy`,
  );
}

/**
 * Streams a good copy to the targets that have none like it, and to those whose copy turned out to be damaged on the way.
 * The targets' own copies are tried first: they stay, so at least one that stays has been checked.
 */
async function fill(
  { volumes }: Store,
  key: Key,
  how: { targets: readonly string[]; seen: Inspected; sync: boolean; pace: Pace | undefined },
): Promise<void> {
  const { targets, seen, sync, pace } = how;
  const { md5, bytes, copies } = seen;
  const expected = md5 === undefined ? { bytes } : { md5 };
  const good = volumesIn(seen, "good");
  const sources = md5 === undefined ? good : [...good, ...volumesIn(seen, "differs")];
  const printOf = (volume: string) => copies.find((seen) => seen.volume === volume)?.print;
  const damaged: string[] = [];
  let failure: unknown;
  for (const from of union(
    targets.filter((target) => sources.includes(target)),
    sources,
  )) {
    const isLike = (target: string) => printOf(target) === printOf(from);
    const to = targets.filter((target) => target !== from && (!isLike(target) || damaged.includes(target)));
    const paceOfAll = pace && ((ofOne: number) => pace(ofOne * Math.max(to.length, 1)));
    try {
      const opened = from === seen.opened?.volume ? seen.opened.file : undefined;
      return await copy(volumes, pathOf(key), { from, to, opened, expected, sync, pace: paceOfAll });
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      if (error.code === "corrupt" || error.code === "absent") damaged.push(from);
      failure = error;
    }
  }
  throw failure;
}

async function syncAll({ volumes }: Store, key: Key, there: readonly string[]): Promise<void> {
  await Promise.all(there.map((volume) => volumes.sync(volume, pathOf(key), { expected: "there" })));
}

/** What is left to do for a key of which no copy is good. */
async function withoutGood(
  { volumes, ledger }: Store,
  claim: Claim,
  { seen, depth, dryRun }: { seen: Inspected; depth: Depth; dryRun: boolean },
): Promise<Moved> {
  const record = claim.entry.record!;
  const where = record.volumes.join(", ");
  const unknown = seen.copies.find(({ state }) => state === "unknown");
  if (unknown) throw new MkvError("unavailable", `no good copy can be reached: ${unknown.print}`);
  const differing = volumesIn(seen, "differs");
  if (differing.length === 0) {
    if (record.state === "unlinked") return unchanged; // A leftover: nothing to move.
    throw new MkvError("gone", `no copy is left on ${where}`);
  }
  if (record.md5 === undefined)
    throw new MkvError("corrupt", `the copies on ${where} differ, and no MD5 tells which is good`);
  if (depth === "length")
    throw new MkvError("corrupt", `every copy is damaged, on ${where}: verify -md5 -repair sets them aside`);
  if (ledger.age === "older") throw older(`the copies on ${where} are not what the index says`);
  const prints = seen.copies.filter(({ state }) => state === "differs").map(({ print }) => print);
  if (prints.length > 1 && new Set(prints).size === 1)
    throw new MkvError(
      "corrupt",
      `the copies on ${where} hold zeros alone, as after a loss of power: put one back, or DELETE it`,
    );
  if (dryRun) throw new MkvError("corrupt", `no good copy is left; the damaged ones on ${where} would be set aside`);
  const path = pathOf(claim.key);
  const aside = `/damaged${path}`;
  for (const volume of differing) {
    const sync = await volumes.canSync(volume);
    await copy(volumes, path, { from: volume, to: [volume], as: aside, expected: {}, sync });
    const { owed } = claim.entry;
    await claim.put({ record, owed: owe(owed, [volume], { kind: "left-over", forMs: limits.fenceOverMs }) });
    await volumes.remove(volume, path); // If it is not confirmed, it may come late: that stays owed.
    await claim.put({ record, owed });
  }
  throw new MkvError(
    "corrupt",
    `no good copy is left; the damaged ones now lie at ${aside} on ${differing.join(", ")}`,
  );
}

/** The strays on volumes that nobody configures and that do not answer: this move has seen nothing of those copies. */
async function leftBehind(
  { topology, volumes, currentName }: Store,
  seen: Inspected,
  strays: readonly string[],
): Promise<string[]> {
  const isGone = (volume: string) => strays.includes(volume) && !isConfigured(topology, currentName(volume));
  const gone = volumesIn(seen, "unknown").filter(isGone);
  const answers = await Promise.all(gone.map((volume) => volumes.wake(volume)));
  return gone.filter((_, i) => !answers[i]);
}
