// Owns the work in the background that keeps a store well: a watch over its volumes, the paying of what is owed, and the
// forgetting of what counts no more. None waits for another.
import { hasCode, reasonOf } from "../errors";
import { limits } from "../limits";
import { warn } from "../log";
import { WaitingLog, cleanUpDue } from "./cleanup";
import { forgetOldOrphans } from "./orphan";
import { pause } from "./pace";
import { type Store } from "./store";
import { type Watch } from "./places/watch";

/** Looks after the volumes until it is disposed of, and changes nothing. */
export function keepWatch(watch: Watch): AsyncDisposable {
  return inBackground(...roundsOf(watch));
}

/**
 * Pays debts until it is disposed of.
 * @param watch looks after the volumes: one thread does so for all, and forgets old orphans
 */
export function maintain(store: Store, watch?: Watch): AsyncDisposable {
  const waitingLog = new WaitingLog();
  const saidAfterMs = performance.now() + limits.patienceMs;
  const pay = async (stop: AbortSignal) => {
    const waiting = await cleanUpDue(store, stop);
    if (performance.now() > saidAfterMs) waitingLog.tell(waiting, store.ledger.owing);
  };
  const forget = async (stop: AbortSignal) =>
    await forgetOldOrphans(store.ledger.memory, stop).catch((error) => warn(`in the background: ${reasonOf(error)}`));
  return inBackground(
    (stop) => again(stop, limits.probeMs, () => pay(stop)),
    ...(watch ? [...roundsOf(watch), forget] : []),
  );
}

function roundsOf({ rounds, end }: Watch): ((stop: AbortSignal) => Promise<void>)[] {
  return rounds.map((round) => async (stop) => {
    stop.addEventListener("abort", end);
    await again(stop, limits.meetMs, round);
  });
}

/** Work that goes on until it is disposed of, which waits for its end. */
export function inBackground(...work: ((stop: AbortSignal) => Promise<unknown>)[]): AsyncDisposable {
  const stop = new AbortController();
  const running = work.map((each) => each(stop.signal));
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all(running);
    },
  };
}

/** Does this work again and again, with these pauses, until stopped; a failure is told once, unless the ledger tells it. */
export async function again(stop: AbortSignal, pauseMs: number, work: () => Promise<void>): Promise<void> {
  let said = "";
  while (!stop.aborted) {
    const failure = await work().then(() => "", untold);
    if (failure !== "" && failure !== said) warn(`in the background: ${failure}`);
    said = failure;
    await pause(pauseMs, stop);
  }
}

/** The reason of a failure; empty for one that the ledger tells itself. */
export function untold(error: unknown): string {
  return hasCode(error, "away") ? "" : reasonOf(error);
}
