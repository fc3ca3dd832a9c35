// Owns the worker threads of the process: each runs the program once more, from `main.ts`, with a task of its own.
import { type MessagePort, Worker } from "node:worker_threads";
import { nowMs } from "../clock";
import { MkvError, reasonOf } from "../errors";
import { shareMetrics } from "../metrics";

/** A worker thread, as seen by the one that started it. */
export type WorkerThread = {
  post(message: string): void;
  /** Settles when it is gone, whether asked to or not; rejects with MkvError failed if it died of an exception. */
  readonly ended: Promise<void>;
};

/** What a worker thread finds as its `workerData`: its task, what the clock said when it was started, where it counts. */
export type WorkerData = { readonly task: unknown; readonly startedMs: number; readonly metrics: SharedArrayBuffer };

type WorkerStart = {
  readonly entry: string;
  readonly task: unknown;
  readonly onMessage: (message: unknown) => void;
  readonly transfer?: readonly MessagePort[];
};

/**
 * Starts a worker thread.
 * @param number of the thread; the one that starts all others is 0
 * @param options.entry URL of the program
 * @param options.task what the thread has to do: see `WorkerData`
 * @param options.onMessage gets every message from it
 * @param options.transfer ports in the task that become the thread's
 */
export function startWorker(number: number, { entry, task, onMessage, transfer = [] }: WorkerStart): WorkerThread {
  const workerData: WorkerData = { task, startedMs: nowMs(), metrics: shareMetrics() };
  const worker = new Worker(new URL(entry), { workerData, transferList: [...transfer] });
  const end = Promise.withResolvers<void>();
  end.promise.catch(() => {}); // Every caller awaits it; this only silences the warning.
  let failure: MkvError | undefined;
  worker.on("message", onMessage);
  worker.on("error", (error: unknown) => {
    failure ??= new MkvError("failed", `thread ${number} has died (${reasonOf(error)}): stopping`, { cause: error });
  });
  worker.once("exit", () => (failure ? end.reject(failure) : end.resolve())); // Only now it has let go of the index.
  return { post: (message) => worker.postMessage(message), ended: end.promise };
}
