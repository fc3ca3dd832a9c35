// Owns what heals by itself in a master, on its first thread: who begins, when, and how it ends. Whoever else has the same
// ledger may do the same at once: all is done under claims.
import { nowMs } from "../clock";
import { reasonOf } from "../errors";
import { subvolume } from "../format/placement";
import { limits } from "../limits";
import { log } from "../log";
import { gauge } from "../metrics";
import { Turns } from "../turns";
import { type Care, HealLog } from "./caring";
import { healHinted } from "./hinted";
import { again, inBackground } from "./maintain";
import { pause, paceOf } from "./pace";
import { refill } from "./refill";
import { ScrubLog, scrub } from "./scrub";
import { type Store } from "./store";

const toHeal = gauge("mkv_keys_to_heal", "Keys that are to be brought home, or lack a copy.");

/**
 * Heals until it is disposed of.
 * @param options.bytesPerSecond how fast healing copies; 0 for none at all
 * @param options.scrubMs in this time every copy is read and compared; 0 for not at all
 */
export function startHealing(
  store: Store,
  { bytesPerSecond, scrubMs }: { bytesPerSecond: number; scrubMs: number },
): AsyncDisposable {
  const { isBehind } = store.ledger;
  const off = isBehind ? "a rebuild: the index is older than the volumes" : bytesPerSecond === 0 ? "-heal" : undefined;
  return inBackground(async (stop) => {
    const [bytes, keys] = [paceOf(bytesPerSecond, stop), paceOf(limits.healedKeys, stop)];
    const care = { store, stop, off, turns: new Turns(limits.healsAtOnce), bytes, keys, log: new HealLog() };
    const seen = new ScrubLog();
    await Promise.all([
      healInRounds(care),
      off === undefined && again(stop, limits.healPauseMs, () => refill(care)),
      scrubMs > 0 && !isBehind && again(stop, limits.healPauseMs, () => scrub(care, { periodMs: scrubMs, seen })),
    ]);
  });
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
