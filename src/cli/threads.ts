// Owns the worker threads of the process: each runs the program once more, from `main.ts`, with a task of its own.
import { Worker } from "node:worker_threads";
import { MkvError, reasonOf } from "../errors";

/** A worker thread, as seen by the one that started it. */
export type WorkerThread = {
  tell(message: string): void;
  /** Settles when it is gone, whether asked to or not; rejects with MkvError failed if it died of an exception. */
  readonly ended: Promise<void>;
};

/**
 * Starts a worker thread.
 * @param number of the thread; the one that starts all others is 0
 * @param options.entry URL of the program
 * @param options.task what the thread finds as its `workerData`
 * @param options.hear gets every message from it
 */
export function startWorker(
  number: number,
  { entry, task, hear }: { entry: string; task: unknown; hear: (message: unknown) => void },
): WorkerThread {
  const worker = new Worker(new URL(entry), { workerData: task });
  const end = Promise.withResolvers<void>();
  end.promise.catch(() => {}); // Whoever waits is told.
  let failure: MkvError | undefined;
  worker.on("message", hear);
  worker.on("error", (error: unknown) => {
    failure ??= new MkvError("failed", `thread ${number} has died (${reasonOf(error)}): stopping`, { cause: error });
  });
  worker.once("exit", () => (failure ? end.reject(failure) : end.resolve())); // Only now it has let go of the index.
  return { tell: (message) => worker.postMessage(message), ended: end.promise };
}
