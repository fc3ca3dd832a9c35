// Owns a file on a volume that neither the record of its key nor a debt accounts for: an orphan, at the place of the value or
// staged (`forward.ts`). It is never removed on the word of the index alone:
// 1. Where the record's own copies are not all whole, a file that is the value is a copy of it: the record gets its name, and
//    one that is staged takes its place. Any other file stays.
// 2. A file goes if the record's own copies have just been seen, whole, on other volumes, and read, unless it is shorter; or
//    if there is no record, and the ledger is known to lack nothing. And only if it was seen as an orphan an hour ago already: a
//    file's own time may be that of the value, which a move keeps, and the body of a replacement that nobody remembers may
//    just have come.
// 3. With the key claimed no replacement is under way: one that is committed has been ended first, and what that leaves
//    staged is owed. A staged file is needed only where copies are lost: what is acknowledged lies at its place.
//   "orphan " volume path -> OrphanMemory   in the ledger's memory: since when it is known, and which file it is
import { bootId, sinceBootMs } from "../boot";
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { type ValueRecord, leastBytesOf } from "../format/record";
import { isConfigured, union } from "../format/volume";
import { type Claim, type Debt, type Memory, entriesOf } from "../ledger/ledger";
import { limits } from "../limits";
import { shaped } from "../shape";
import { type FileInfo } from "../volumes/read";
import { mayBeOnly } from "./older";
import { cleanUp } from "./cleanup";
import { type Inspected, inspectCopies, isWhole, volumesIn } from "./copies";
import { md5Of } from "./copy";
import { owe } from "./debts";
import { asItIs, claimKey, moveIfSame, stagedPathOf } from "./forward";
import { bringHome } from "./move";
import { type Store } from "./store";

/**
 * What became of a file. `accounted`: it is no orphan. `young`: not long enough known to be removed. `copy`: it is a good copy
 * of a key that lacks one. `kept`: it may not be removed, for the reason in `why`.
 */
export type OrphanSeen = {
  readonly state: "accounted" | "young" | "orphan" | "copy" | "kept" | "recorded" | "removed";
  readonly why?: string;
};

/** Which file is looked at, and how. */
export type OrphanLook = {
  readonly volume: string;
  /** Where it lies: at the place of the value, or staged. */
  readonly place: "orphan" | "staged";
  /** Whether a copy that the record lacks is recorded, and brought to where it belongs. */
  readonly repair: boolean;
  readonly remove: boolean;
  /** Whether it is only found out what would be done: what is told is `recorded` or `removed` all the same. */
  readonly dryRun: boolean;
};

/**
 * Looks at a file of this key on a volume, while nobody changes the key.
 * @throws MkvError bad-request (no volume of the store), busy, unavailable (a volume does not answer)
 */
export async function lookAtOrphan(store: Store, key: Key, look: OrphanLook): Promise<OrphanSeen> {
  const { volume, place, remove, dryRun } = look;
  if (!isConfigured(store.topology, volume)) throw new MkvError("bad-request", `${volume} is not one of the volumes`);
  await using claim = await claimKey(store, key, asItIs, { dryRun, sends: "streams" });
  const { record } = claim.entry;
  const isStaged = place === "staged";
  const path = isStaged ? stagedPathOf(key) : pathOf(key);
  const isOfFile = (debt: Debt) => debt.volume === volume && (debt.kind === "staged") === isStaged;
  const isOwed = (await store.ledger.owedBy(key, isOfFile)).some(isOfFile);
  const isNamed = !isStaged && record?.volumes.includes(volume);
  const file = isOwed || isNamed ? undefined : await store.volumes.head(volume, path);
  if (!file) return { state: "accounted" };
  let seen: Inspected | undefined;
  if (store.ledger.age !== "current" && (isStaged || !record)) return { state: "kept", why: mayBeOnly };
  if (record && (record.state === "live" || !isStaged)) {
    seen = await inspectCopies(store.volumes, key, record, { depth: "length" });
    const isLonger = !isStaged && file.bytes > seen.bytes; // After a loss of power all of them may be cut off.
    if (isLonger && isWhole(seen)) seen = await read(store, key, record, seen);
    if (!isValue(record, seen)) return await useAsCopy(store, claim, { look, path, bytes: file.bytes, seen });
  }
  if (store.ledger.age === "older") return { state: "kept", why: mayBeOnly };
  const ageMs = await ageOf(store.ledger.memory, volume + path, { ...file, remember: !dryRun });
  if (ageMs < limits.orphanMs) return { state: "young" };
  if (!remove) return { state: "orphan" };
  if (dryRun) return { state: "removed" };
  if (record && seen && (isStaged || file.bytes === seen.bytes)) {
    seen = await read(store, key, record, seen); // Or they have no more than their length.
    if (!isValue(record, seen)) return await useAsCopy(store, claim, { look, path, bytes: file.bytes, seen });
  }
  const isProven = seen?.depth === "md5";
  const kind = isStaged ? "staged" : record && !isProven ? "stray" : "left-over";
  await claim.put({ record, owed: owe(claim.entry.owed, [volume], { kind }) });
  const why = (await cleanUp(store, claim)).get(volume);
  if (why !== undefined) return { state: "kept", why };
  if (await store.volumes.head(volume, path))
    return { state: "kept", why: "goes when the copies of its key are seen whole" };
  await forgetOrphan(store.ledger.memory, volume + path);
  return { state: "removed" };
}

/** The recorded copies, by their MD5 where that is known. */
async function read({ volumes }: Store, key: Key, record: ValueRecord, seen: Inspected): Promise<Inspected> {
  return record.md5 === undefined ? seen : await inspectCopies(volumes, key, record, { depth: "md5" });
}

function isValue({ md5 }: ValueRecord, seen: Inspected): boolean {
  return isWhole(seen) && seen.md5 === md5;
}

/** Rule 1: where copies of the recorded value are lost, a file that is the value becomes one, and any other one stays. */
async function useAsCopy(
  store: Store,
  claim: Claim,
  found: { look: OrphanLook; path: string; bytes: number; seen: Inspected },
): Promise<OrphanSeen> {
  const { volume, place, repair, dryRun } = found.look;
  const { key, entry } = claim;
  const record = entry.record!;
  if (!(await isCopy(store, claim, { volume, ...found })))
    return { state: "kept", why: "is not known to be the value, whose own copies are not all whole" };
  if (!repair) return { state: "copy" };
  if (dryRun) return { state: "recorded" };
  const volumes = store.volumes.within(claim);
  if (place === "staged" && !(await moveIfSame(volumes, key, { volume, md5: record.md5! })))
    return { state: "kept", why: "is the value, which lacks copies, and could not be moved to its place" };
  await claim.put({ record: { ...record, volumes: union(record.volumes, [volume]) }, owed: entry.owed });
  if (store.ledger.age === "older") return { state: "recorded" }; // Whatever else there is has to be found before it is moved.
  const all = await inspectCopies(store.volumes, key, claim.entry.record!, { depth: "length" });
  await bringHome(store, claim, all, { depth: "length" });
  return { state: "recorded" };
}

/** Whether a file is the value of a key that lacks a good copy. Of what is staged only the MD5 tells. */
async function isCopy(
  { volumes }: Store,
  { key, entry }: Claim,
  { volume, path, bytes, seen }: { volume: string; path: string; bytes: number; seen: Inspected },
): Promise<boolean> {
  const { md5 } = entry.record!;
  if (bytes < leastBytesOf(md5)) return false;
  if (md5 !== undefined) return (await md5Of(volumes, volume, path)) === md5;
  if (path !== pathOf(key)) return false;
  return seen.bytes === 0 ? volumesIn(seen, "unknown").length === 0 : bytes === seen.bytes;
}

/**
 * For how long a file has been known as an orphan, in milliseconds; from now on, if it was not, or another one lay there.
 * Counted anew at each boot.
 */
async function ageOf(
  memory: Memory,
  file: string,
  { bytes, modified, remember }: FileInfo & { remember: boolean },
): Promise<number> {
  const boot = bootId();
  const seen = readOrphan(await memory.get(nameOf(file)));
  if (seen?.boot === boot && seen.bytes === bytes && seen.modified === modified) return sinceBootMs() - seen.atMs;
  if (!remember) return 0;
  const count = await countOf(memory);
  if (!seen && count >= limits.orphans) return 0; // No room: it stays young.
  if (!seen) await memory.put(countName, { boot, count: count + 1 });
  await memory.put(nameOf(file), { boot, atMs: sinceBootMs(), bytes, modified } satisfies OrphanMemory);
  return 0;
}

/** Forgets, until stopped, what was remembered of orphans before the machine was restarted: their hour begins anew. */
export async function forgetOldOrphans(memory: Memory, stop: AbortSignal): Promise<void> {
  const boot = bootId();
  for await (const [name, seen] of entriesOf(memory, orphanPrefix)) {
    if (stop.aborted) return;
    if (readOrphan(seen)?.boot !== boot) await memory.delete(name);
  }
}

async function forgetOrphan(memory: Memory, file: string): Promise<void> {
  await memory.delete(nameOf(file));
  await memory.put(countName, { boot: bootId(), count: Math.max(0, (await countOf(memory)) - 1) });
}

/** How many orphans are remembered, about: threads may count at once. */
async function countOf(memory: Memory): Promise<number> {
  const counted = shaped<{ boot: string; count: number }>(await memory.get(countName), { boot: "", count: 0 });
  return counted?.boot === bootId() ? counted.count : 0;
}

const countName = "orphans";

/** What is remembered of an orphan: since when it is known, and which file it is. */
type OrphanMemory = FileInfo & { readonly boot: string; readonly atMs: number };

/** Undefined for what is damaged: its hour begins anew. */
function readOrphan(seen: unknown): OrphanMemory | undefined {
  return shaped(seen, { boot: "", atMs: 0, bytes: 0, modified: "" });
}

const orphanPrefix = "orphan ";

function nameOf(file: string): string {
  return orphanPrefix + file;
}
