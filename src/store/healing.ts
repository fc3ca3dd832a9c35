// Owns what heals by itself in a master, on its first thread: who begins, when, and how it ends. Whoever else has the same
// ledger may do the same at once: all is done under claims.
import { nowMs } from "../clock";
import { reasonOf } from "../errors";
import { subvolume } from "../format/placement";
import { limits } from "../limits";
import { log } from "../log";
import { gauge } from "../metrics";
import { Turns } from "../turns";
import { HealLog } from "./heal-log";
import { type Care } from "./caring";
import { healHinted } from "./hinted";
import { again } from "./maintain";
import { pause, paceOf } from "./pace";
import { refill } from "./refill";
import { ScrubLog, scrub } from "./scrub";
import { type Store } from "./store";

/** How much of it there is. */
export type HealingOptions = {
  /** Bytes a second that healing copies; 0 for none at all. */
  readonly bytesPerSecond: number;
  /** In this time every copy is read and compared; 0 for not at all. */
  readonly scrubMs: number;
};

const toHeal = gauge("mkv_keys_to_heal", "Keys that are to be brought home, or lack a copy.");

/** Heals until it is disposed of. */
export function startHealing(store: Store, { bytesPerSecond, scrubMs }: HealingOptions): AsyncDisposable {
  const ending = new AbortController();
  const stop = ending.signal;
  const care: Care = {
    store,
    stop,
    turns: new Turns(limits.healsAtOnce),
    bytes: paceOf(bytesPerSecond, stop),
    keys: paceOf(limits.healedKeys, stop),
    log: new HealLog(),
    off: store.ledger.isBehind
      ? "a rebuild: the index is older than the volumes"
      : bytesPerSecond === 0
        ? "-heal"
        : undefined,
  };
  const running = [healInRounds(care)];
  if (care.off === undefined) running.push(again(stop, limits.healPauseMs, () => refill(care)));
  if (scrubMs > 0 && !store.ledger.isBehind) {
    const seen = new ScrubLog();
    running.push(again(stop, limits.healPauseMs, () => scrub(care, { periodMs: scrubMs, seen })));
  }
  return {
    async [Symbol.asyncDispose]() {
      ending.abort();
      await Promise.all(running);
    },
  };
}

/** Again and again: soon when there is news, ever more rarely when there is none. */
async function healInRounds(care: Care): Promise<void> {
  const { store, stop } = care;
  let failure = "";
  let longMs: number = limits.healPauseMs;
  while (!stop.aborted) {
    const [fit, before] = [fitOf(store), store.hints.count];
    let [lookedMs, busy] = [0, 0];
    try {
      ({ lookedMs, busy } = await healHinted(care));
      failure = "";
    } catch (error) {
      if (reasonOf(error) !== failure) log(`heal: ${(failure = reasonOf(error))}`);
    }
    const left = store.hints.count;
    toHeal.set(left);
    care.log.tell(left);
    longMs = left === before && busy === 0 ? Math.min(2 * longMs, limits.longestPauseMs) : limits.healPauseMs;
    const shortMs = Math.max(limits.healPauseMs, limits.healPauses * lookedMs);
    const endMs = nowMs();
    const isNews = () => fitOf(store) !== fit || (nowMs() > endMs + shortMs && store.hints.count !== left);
    while (!stop.aborted && !isNews() && nowMs() < endMs + Math.max(shortMs, longMs)) {
      await pause(limits.probeMs, stop);
      toHeal.set(store.hints.count);
    }
  }
}

/** Which volumes and disks can be written to. */
function fitOf({ topology, volumes }: Store): string {
  const { subvolumes } = topology;
  const disks = (volume: string) => Array.from({ length: subvolumes }, (_, i) => `${volume}/${subvolume(i)}`);
  const places = topology.volumes.flatMap((volume) => [volume, ...(subvolumes === 1 ? [] : disks(volume))]);
  return places.map((place) => Number(volumes.isWritable(place))).join("");
}
