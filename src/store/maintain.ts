// Owns the work in the background that keeps a store well: a watch over its volumes, and the paying of what is owed. Neither
// waits for the other.
import { setTimeout } from "node:timers/promises";
import { reasonOf } from "../errors";
import { limits } from "../limits";
import { warn } from "../log";
import { WaitingLog, cleanUpDue } from "./care";
import { type Store } from "./store";

/** Looks after the volumes until it is disposed of, and changes nothing. */
export function keepWatch(watch: () => Promise<void>): AsyncDisposable {
  const stop = new AbortController();
  return ending(stop, [again(stop.signal, limits.meetMs, watch)]);
}

/**
 * Pays debts until it is disposed of.
 * @param watch looks after the volumes: one thread does so for all
 */
export function maintain(store: Store, watch?: () => Promise<void>): AsyncDisposable {
  const stop = new AbortController();
  const waitingLog = new WaitingLog();
  const saidAfterMs = performance.now() + limits.patienceMs;
  const running = [
    again(stop.signal, limits.probeMs, async () => {
      const waiting = await cleanUpDue(store, stop.signal);
      if (performance.now() > saidAfterMs) waitingLog.tell(waiting, store.ledger.owing);
    }),
    ...(watch ? [again(stop.signal, limits.meetMs, watch)] : []),
  ];
  return ending(stop, running);
}

function ending(stop: AbortController, running: readonly Promise<void>[]): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await Promise.all(running);
    },
  };
}

/** Does this work again and again, with these pauses, until stopped; a failure is told once. */
export async function again(stop: AbortSignal, pauseMs: number, work: () => Promise<void>): Promise<void> {
  let said = "";
  while (!stop.aborted) {
    const failure = await work().then(() => "", reasonOf);
    if (failure !== "" && failure !== said) warn(`in the background: ${failure}`);
    said = failure;
    await setTimeout(pauseMs, undefined, { signal: stop }).catch(() => {}); // Stopped.
  }
}
