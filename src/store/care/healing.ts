// Owns what heals by itself in a master, on its first thread: when it begins, and the rounds over the keys that have a hint.
// Whoever else has the same ledger may do the same at once: all is done under claims.
// 1. A key that a write put elsewhere is moved only under the topology that it was written under: what a change of the
//    volumes asks for is left to a rebalance, and so is this key then.
// 2. Of any other key the copies are mended where its record says that they are.
// 3. A key waits until all volumes that it needs can be written to. If it has too few copies, others stand in meanwhile.
import { nowMs } from "../../clock";
import { MkvError, hasCode } from "../../errors";
import { placesOf, rank } from "../../format/placement";
import { type ValueRecord } from "../../format/record";
import { sameVolumes, without } from "../../format/volume";
import { limits } from "../../limits";
import { log } from "../../log";
import { gauge } from "../../metrics";
import { Turns } from "../../turns";
import { type Care, HealLog, Retries } from "./care";
import { type HealOptions, healKey } from "../heal";
import { type HintedKey, leftOutMs, topologyId } from "../hints";
import { again, inBackground, untold } from "../maintain";
import { lookAtUnfilled, refill } from "./mend";
import { pause, paceOf, whileLoaded } from "../pace";
import { ScrubLog, scrub } from "./scrub";
import { type Store } from "../store";

const toHeal = gauge("mkv_keys_to_heal", "Keys that are to be brought home, or lack a copy.");
const leftOut = gauge(
  "mkv_hints_left_out",
  "Whether more keys are to be brought home than are remembered: rebalance does.",
);

/**
 * Heals until it is disposed of.
 * @param options.bytesPerSecond how fast healing copies; 0 for none at all
 * @param options.scrubMs in this time every copy is read and compared; 0 for not at all
 */
export function startHealing(
  store: Store,
  { bytesPerSecond, scrubMs }: { bytesPerSecond: number; scrubMs: number },
): AsyncDisposable {
  const noHealing = bytesPerSecond === 0 ? "-heal" : undefined;
  const isCurrent = store.ledger.age === "current";
  const blockedBy = isCurrent ? noHealing : "a rebuild: the index may lack what lies on the volumes";
  return inBackground(async (stop) => {
    const [bytes, keys] = [paceOf(bytesPerSecond, stop), paceOf(limits.healedKeys, stop)];
    const of = { turns: new Turns(limits.healsAtOnce), unfilled: new Set<string>(), retries: new Retries() };
    const care = { store, stop, blockedBy, bytes, keys, ...of, log: new HealLog() };
    const seen = new ScrubLog();
    await Promise.all([
      healInRounds(care),
      again(stop, limits.healPauseMs, async () => {
        await lookAtUnfilled(care);
        leftOut.set(Number((await leftOutMs(store.ledger.memory)) > 0));
      }),
      blockedBy === undefined && again(stop, limits.healPauseMs, () => refill(care)),
      scrubMs > 0 && isCurrent && again(stop, limits.healPauseMs, () => scrub(care, { periodMs: scrubMs, seen })),
    ]);
  });
}

/** Again and again: soon when there is news, ever more rarely when there is none. */
async function healInRounds(care: Care): Promise<void> {
  const { store, stop } = care;
  let [failure, writable, isCounted] = ["", writableIn(store), false];
  let longMs: number = limits.healPauseMs;
  while (!stop.aborted) {
    if (writable !== writableIn(store)) care.retries.clear();
    writable = writableIn(store);
    const before = store.hints.count;
    let [lookedMs, busy] = [0, 0];
    try {
      if (!isCounted) await countHinted(care);
      isCounted = true;
      ({ lookedMs, busy } = await healHinted(care));
      failure = "";
    } catch (error) {
      const why = untold(error);
      if (why !== "" && why !== failure) log(`heal: ${why}`);
      failure = why;
    }
    const left = store.hints.count;
    toHeal.set(left);
    care.log.tell(left, care.unfilled);
    longMs = left === before && busy === 0 ? Math.min(2 * longMs, limits.longestPauseMs) : limits.healPauseMs;
    const shortMs = Math.max(limits.healPauseMs, limits.healPauses * lookedMs);
    const endMs = nowMs();
    const isNews = () => writableIn(store) !== writable || store.hints.count !== left;
    while (!stop.aborted && nowMs() < endMs + (isNews() ? shortMs : Math.max(shortMs, longMs))) {
      await pause(limits.probeMs, stop);
      toHeal.set(store.hints.count);
    }
  }
}

/** Which volumes and disks can be written to, as text that differs if they are others. */
function writableIn({ topology, volumes }: Store): string {
  const places = topology.volumes.flatMap((volume) => placesOf(topology, volume));
  return places.map((place) => Number(volumes.health.isWritable(place))).join("");
}

/** Counts the keys with a hint: a round over them may take hours. */
async function countHinted({ store: { hints }, stop }: Care): Promise<void> {
  let count = 0;
  for (let page = await hints.page(undefined); page.length > 0 && !stop.aborted; page = await hints.page(page.at(-1))) {
    count += page.length;
    await whileLoaded(stop);
  }
  toHeal.set((hints.count = count));
}

/** Where the copies of a key are to be, for good or until its own volumes are back; or what it waits for. */
type Plan = { readonly targets: readonly string[]; readonly isFinal: boolean } | { readonly waitsFor: string };

/**
 * Heals what can be healed now of all keys with a hint, and counts them.
 * @returns how long the mere looking took, and how many keys stand a better chance in a moment
 */
async function healHinted(care: Care): Promise<{ lookedMs: number; busy: number }> {
  const { store, stop } = care;
  let [left, busy, lookedMs] = [0, 0, 0];
  let page = await store.hints.page(undefined);
  for (; page.length > 0 && !stop.aborted; page = await store.hints.page(page.at(-1))) {
    const ready: HintedKey[] = [];
    for (let at = 0; at < page.length && !stop.aborted; at += limits.hintsAtOnce) {
      await whileLoaded(stop);
      const startMs = nowMs();
      const some = page.slice(at, at + limits.hintsAtOnce);
      const reasons = await Promise.all(some.map((hinted) => whyNot(care, hinted)));
      lookedMs += nowMs() - startMs;
      for (const reason of reasons) if (reason !== undefined) care.log.waits(reason);
      ready.push(...some.filter((_, i) => reasons[i] === undefined));
    }
    const outcomes = await Promise.all(ready.map((hinted) => heal(care, hinted)));
    left += page.length - outcomes.filter((outcome) => outcome === "whole").length;
    busy += outcomes.filter((outcome) => outcome === "busy").length;
    toHeal.set(store.hints.count);
  }
  if (!stop.aborted) store.hints.count = left;
  care.retries.endRound();
  return { lookedMs, busy };
}

/** What a key waits for; undefined if it can be looked at. */
async function whyNot(care: Care, hinted: HintedKey): Promise<string | undefined> {
  const { ledger } = care.store;
  if (!care.retries.isDue(hinted)) return "their next try, since they failed";
  if (ledger.age !== "current") return care.blockedBy;
  try {
    const record = await ledger.get(hinted.key);
    const plan = record && planOf(care, hinted, record);
    return plan && "waitsFor" in plan ? plan.waitsFor : undefined;
  } catch (error) {
    if (!hasCode(error, "corrupt")) throw error;
    return "a rebuild, since their records are damaged";
  }
}

function planOf({ store, blockedBy }: Care, { key, hint }: HintedKey, record: ValueRecord): Plan {
  const { topology, volumes } = store;
  const ranked = rank(key, topology);
  const home = ranked.slice(0, topology.replicas);
  const isMoved = hint.why === "written" && !sameVolumes(record.volumes, home);
  // Of another one a job may have healed what it lacked: it is looked at all the same, and its hint goes.
  if (blockedBy !== undefined && (isMoved || hint.why === "damaged")) return { waitsFor: blockedBy };
  if (isMoved && hint.topology !== topologyId(topology))
    return { waitsFor: "a rebalance, since the volumes are others now" };
  const targets = isMoved ? home : record.volumes;
  const away = targets.find((volume) => !volumes.health.isWritable(volume));
  if (away === undefined) return { targets, isFinal: true };
  const spares = without(ranked, record.volumes).filter((volume) => volumes.health.isWritable(volume));
  const wanted = isMoved ? spares.slice(0, Math.max(0, topology.replicas - record.volumes.length)) : [];
  if (wanted.length === 0 || !record.volumes.every((volume) => volumes.health.isWritable(volume)))
    return { waitsFor: away };
  return { targets: ranked.filter((one) => record.volumes.includes(one) || wanted.includes(one)), isFinal: false };
}

/** Heals a key. `whole`: its hint is gone. */
async function heal(care: Care, hinted: HintedKey): Promise<"whole" | "busy" | "left"> {
  const { store, log } = care;
  const { key, hint } = hinted;
  let isFinal = true;
  let outcome: "whole" | "left" = "left";
  const options: HealOptions = {
    depth: hint.why === "damaged" ? "md5" : "length",
    repair: care.blockedBy === undefined,
    move(record) {
      const plan = planOf(care, hinted, record);
      if ("waitsFor" in plan) throw new MkvError("busy", `it waits for ${plan.waitsFor}`);
      isFinal = plan.isFinal;
      return { depth: "length", targets: plan.targets, pace: care.bytes };
    },
    async onWhole() {
      await store.hints.drop(hinted);
      outcome = "whole";
    },
  };
  try {
    using _turn = await care.turns.enter();
    await care.keys(1);
    await whileLoaded(care.stop);
    const { isRepaired, failure } = await healKey(store, key, options);
    if (failure !== undefined) throw new MkvError("failed", failure);
    if (!isRepaired) {
      if (outcome === "left" && care.blockedBy !== undefined) log.waits(care.blockedBy);
      return outcome;
    }
    // The hint goes when the key has been seen whole.
    const { findings } = isFinal ? await healKey(store, key, { ...options, repair: false }) : { findings: [] };
    if (findings.length > 0) throw new MkvError("failed", `healed, and yet ${findings[0]!.line}`);
    log.healed();
  } catch (error) {
    if (care.stop.aborted || hasCode(error, "busy")) return "busy";
    log.failed(key, error);
    care.retries.failed(hinted);
  }
  return outcome;
}
