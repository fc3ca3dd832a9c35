// Owns the paying of debts: what a write, delete or move has left on volumes is removed. Used by every operation at its end,
// and again and again for what could not be reached then.
// 1. A debt is only paid under a claim, against the record as it is then.
// 2. A volume that the record names is not touched; what may still be on its way to it is remembered. A stray goes when
//    the recorded copies have just been seen, or stored, whole (`proof.ts`); so does what a move was copying, and what was
//    staged.
// 3. A volume is only believed when it has confirmed, and not before what was sent to it earlier can no longer land.
// 4. A replacement that is committed goes on before anything else.
// 5. A debt is never dropped for another reason: not for a volume that is away, or that nobody configures any more.
import { setImmediate } from "node:timers/promises";
import { nowMs } from "../clock";
import { MkvError, reasonOf } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { type ValueRecord } from "../format/record";
import { isConfigured, serverOf, volumesOf } from "../format/volume";
import { type Claim, type Debt, fileOf } from "../ledger/ledger";
import { limits } from "../limits";
import { counted, warn } from "../log";
import { gauge } from "../metrics";
import { Turns } from "../turns";
import { type FileInfo } from "../volumes/read";
import { asItIs, moveLate, moveStaged, stagedPathOf } from "./forward";
import { type Pace, paceOf } from "./pace";
import { isFirstRight, provenCopy } from "./proof";
import { type Store } from "./store";

const waitedFor = gauge(
  "mkv_volumes_waited_for",
  "Volumes where something waits to be removed, as each thread counts.",
);

type CleanUpOptions = { readonly waitMs?: number; readonly wholeSinceMs?: number; readonly pace?: Pace | undefined };

/** What could not be removed, by volume, with the reason. */
export type Waiting = ReadonlyMap<string, string>;

/**
 * Pays what a key owes, as far as it may be and as the volumes can be reached, and ends the claim; the rest stays owed.
 * @param options.waitMs how long volumes that are there are waited for until they have settled
 * @param options.wholeSinceMs since when, by `nowMs`, each recorded copy has been seen whole, or has been stored whole
 * @param options.pace how fast copies may be read
 */
export async function cleanUp(
  store: Store,
  claim: Claim,
  { waitMs = 0, wholeSinceMs = Number.NEGATIVE_INFINITY, pace }: CleanUpOptions = {},
): Promise<Waiting> {
  const { late } = await moveStaged(store, claim);
  if (late.size > 0) {
    await claim.end(claim.entry, {
      againMs: pauseOf(store, claim.entry.owed, { waiting: late, asked: new Set(late.keys()) }),
    });
    return late;
  }
  const { record } = claim.entry;
  const owed = record ? claim.entry.owed : claim.entry.owed.map(asLeftOver);
  const volumes = store.volumes.within(claim);
  const { currentName } = store;
  const named = record?.volumes.map(currentName) ?? [];
  const open = owed.filter(({ volume, kind }) => kind === "staged" || !named.includes(currentName(volume)));
  const { removable, beside, waiting } = await removableOf(store, claim.key, { record, open, wholeSinceMs, pace });
  const [unconfirmed, asked, longer] = [new Set<string>(), new Set<string>(), new Set<string>()];
  for (const kind of ["placed", "staged"] as const) {
    const debts = removable.filter((debt) => (debt.kind === "staged") === (kind === "staged"));
    const path = kind === "staged" ? stagedPathOf(claim.key) : pathOf(claim.key);
    const failures = await volumes.removeAll(
      debts.map(({ volume }) => currentName(volume)),
      path,
      { waitMs, beside: kind === "placed" ? beside : undefined },
    );
    for (const { volume, reason, wasAsked, isLonger } of failures) {
      waiting.set(volume, reason);
      if (wasAsked) asked.add(volume);
      if (isLonger) longer.add(volume);
      for (const debt of debts) if (currentName(debt.volume) === volume) unconfirmed.add(fileOf(debt));
    }
  }
  const isOther = longer.size > 0 && (await isFirstRight(store, claim.key, record!, pace)) === true;
  const now = nowMs();
  const left = owed.flatMap((debt) => {
    if (open.includes(debt) && !removable.includes(debt)) return [debt]; // It may not go yet.
    if (unconfirmed.has(fileOf(debt))) {
      if (isOther && longer.has(currentName(debt.volume))) return [{ ...debt, kind: "left-over" as const }];
      if (volumes.health.isSettled(currentName(debt.volume))) return [debt]; // It has answered.
      return [{ ...debt, untilMs: Math.max(debt.untilMs, now + limits.fenceOverMs) }];
    }
    return debt.kind !== "stray" && debt.untilMs > now ? [debt] : []; // What was sent earlier may still land.
  });
  await claim.end({ record, owed: left }, { againMs: pauseOf(store, left, { waiting, asked }) });
  return waiting;
}

/** What is owed of a key without a record: whatever was in flight is of no value any more, or never was. */
function asLeftOver(debt: Debt): Debt {
  return debt.kind === "in-flight" ? { ...debt, kind: "left-over" } : debt;
}

/**
 * The same after a commit, which holds and is acknowledged whatever becomes of the rest: where the ledger cannot be asked any
 * more, that stays owed.
 */
export async function cleanUpCommitted(...how: Parameters<typeof cleanUp>): Promise<void> {
  try {
    await cleanUp(...how);
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
  }
}

/**
 * Pays all debts that are due, some at once, until stopped; returns what waits, by volume. Throws the first failure, at the
 * end.
 */
export async function cleanUpDue(store: Store, stop: AbortSignal): Promise<Waiting> {
  const { topology, volumes, currentName, ledger } = store;
  const waiting = new Map<string, string>();
  const turns = new Turns(limits.paidAtOnce);
  const pace = paceOf(limits.proofBytes, stop);
  let failure: unknown;
  let count = 0;
  async function pay(key: Key): Promise<void> {
    try {
      await using claim = await ledger.claim(key, asItIs);
      await moveLate(store, claim, pace);
      for (const [name, reason] of await cleanUp(store, claim, { pace })) waiting.set(serverOf(name), reason);
    } catch (error) {
      if (!(error instanceof MkvError)) failure ??= error;
      // Busy: whoever has it cleans up at its end. Away: the ledger says so itself.
      else if (error.code !== "busy" && error.code !== "away") waiting.set("the index", reasonOf(error));
    }
  }
  /** Why a volume is not asked: it is down, or nobody's any more and silent, as another key has found in this round. */
  const whyNot = (volume: string) =>
    volumes.whyUnsettled(volume) ?? (isConfigured(topology, volume) ? undefined : waiting.get(serverOf(volume)));
  for await (const page of ledger.due()) {
    for (const { key, owed } of page) {
      if (++count % limits.batchRecords === 0) await setImmediate();
      if (stop.aborted) break;
      const names = owed.map(({ volume }) => currentName(volume));
      const away = names.filter((name) => whyNot(name) !== undefined);
      for (const name of away) waiting.set(serverOf(name), whyNot(name)!);
      if (away.length === names.length) continue;
      const turn = await turns.enter();
      void pay(key).finally(() => turn[Symbol.dispose]());
    }
  }
  for (let i = 0; i < limits.paidAtOnce; i++) await turns.enter(); // All have ended.
  if (failure) throw failure;
  waitedFor.set(waiting.size);
  return waiting;
}

/** Says which volumes are waited for, and why, whenever that changes; of each at most once in `waitingLogMs`. */
export class WaitingLog {
  readonly #said = new Map<string, { readonly reason: string; readonly atMs: number }>();

  tell(waiting: Waiting, owing: number): void {
    const now = nowMs();
    if (owing === 0)
      for (const [volume, { atMs }] of this.#said) if (now > atMs + limits.waitingLogMs) this.#said.delete(volume);
    const news = [...waiting].filter(([volume, reason]) => {
      const said = this.#said.get(volume);
      return !said || (said.reason !== reason && now > said.atMs + limits.waitingLogMs);
    });
    if (news.length === 0) return;
    for (const [volume, reason] of news) this.#said.set(volume, { reason, atMs: now });
    const reasons = news.map(([volume, reason]) => (reason.startsWith(volume) ? reason : `${volume} ${reason}`));
    warn(`what unfinished work left of ${counted(owing, "key")} waits: ${reasons.sort().join("; ")}`);
  }
}

/** The debts that may be paid now; `beside`: by volume, the recorded copy beside which another one goes; what else waits. */
async function removableOf(
  store: Store,
  key: Key,
  how: { record: ValueRecord | undefined; open: readonly Debt[]; wholeSinceMs: number; pace: Pace | undefined },
): Promise<{
  removable: readonly Debt[];
  beside?: ReadonlyMap<string, FileInfo>;
  waiting: Map<string, string>;
}> {
  const { record, open, wholeSinceMs, pace } = how;
  const waiting = new Map<string, string>();
  if (record === undefined) return { removable: open, waiting };
  const { volumes, topology, places, currentName } = store;
  const now = nowMs();
  const due: Debt[] = [];
  for (const debt of open) {
    if (debt.kind === "stray" && debt.untilMs > now) continue;
    // A name of old may be that of a place which the record has under another: it waits until both say who they are.
    const isOld = debt.kind !== "staged" && !isConfigured(topology, debt.volume);
    const twin = isOld ? await places.mayBeAmong(debt.volume, record.volumes) : undefined;
    if (twin?.silent !== undefined) waiting.set(twin.silent, `${twin.silent} does not say who it is`);
    if (!twin) due.push(debt);
  }
  // What a move was copying is the value, too, and the only copy perhaps; so is what was late for the end of a replacement.
  const needsProof = ({ kind }: Debt) => kind === "stray" || (kind !== "left-over" && record.state === "live");
  const areFresh =
    nowMs() - wholeSinceMs < limits.freshMs && record.volumes.every((volume) => volumes.health.isUp(volume));
  if (areFresh || !due.some(needsProof)) return { removable: due, waiting };
  const others = due.filter(needsProof);
  const sinceMs = Math.min(...others.map((debt) => debt.sinceMs));
  const proof = await provenCopy(store, key, { record, sinceMs, pace });
  const names = volumesOf(others.filter(({ kind }) => kind !== "staged")).map(currentName);
  if (proof && proof !== "damaged")
    return { removable: due, waiting, beside: new Map(names.map((name) => [name, proof])) };
  if (proof)
    for (const name of names) waiting.set(name, `${name} keeps a copy of a key whose recorded ones are damaged`);
  return { removable: due.filter((debt) => !others.includes(debt)), waiting };
}

/**
 * How long debts wait for their next look: ever longer, whatever their volumes did when they were asked, but less long where
 * one did not answer. One that is away is not asked, and seen when it is back.
 */
function pauseOf(
  { topology, volumes, currentName }: Store,
  owed: readonly Debt[],
  { waiting, asked }: { waiting: Waiting; asked: ReadonlySet<string> },
): number {
  const now = nowMs();
  const pauses = owed.map(({ volume, untilMs, sinceMs }) => {
    const name = currentName(volume);
    const isSilent = waiting.has(name) && isConfigured(topology, name) && !volumes.health.isSettled(name);
    if (isSilent && !asked.has(name)) return limits.probeMs;
    const share = (now - sinceMs) / (isSilent ? 4 : 2);
    const pauseMs = Math.min(Math.max(share, limits.probeMs), limits.longestPauseMs);
    return waiting.has(name) ? pauseMs : Math.max(untilMs - now, pauseMs);
  });
  return Math.min(...pauses);
}
