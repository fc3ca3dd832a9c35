// Owns the worker threads of the process: each runs the program once more, from `main.ts`, with a task of its own. There is
// one protocol: a thread says things as it goes, and ends with a result or a failure; its starter asks it to stop.
import { Worker, parentPort, workerData } from "node:worker_threads";
import { type ClockStart, shareClock, startClock } from "../clock";
import { type ErrorCode, MkvError, reasonOf } from "../errors";
import { type LogFormat, logAs, logFormat, writeEvents } from "../log";
import { joinMetrics, shareMetrics } from "../metrics";

/** What a thread finds as its `workerData`: its task, its clock, where it counts, how it logs. */
type WorkerData = {
  readonly task: unknown;
  readonly clock: ClockStart;
  readonly metrics: SharedArrayBuffer;
  readonly log: LogFormat;
};

type Message =
  | { readonly said: unknown }
  | { readonly result: unknown }
  | { readonly failure: { readonly code: ErrorCode; readonly message: string } };

/** What a task may use of its thread. */
export type ThreadContext = {
  /** Aborted when the starter asks for an end. */
  readonly stop: AbortSignal;
  say(message: unknown): void;
};

type Start = {
  /** URL of the program. */
  readonly entry: string;
  readonly task: unknown;
  readonly stop: AbortSignal;
  readonly onSaid: (message: unknown) => void;
};

/**
 * Has a thread of its own do a task. Settles when the thread is gone: only then it has let go of the index.
 * @param number of the thread; the one that starts all others is 0
 * @returns what the task returned
 * @throws MkvError the one that the task threw; failed if the thread died
 */
export function inThread<T>(number: number, { entry, task, stop, onSaid }: Start): Promise<T> {
  const data: WorkerData = { task, clock: shareClock(), metrics: shareMetrics(), log: logFormat() };
  const worker = new Worker(new URL(entry), { workerData: data, stderr: true });
  worker.stderr.setEncoding("utf8").on("data", writeEvents); // Bun's own way to stderr keeps all that nobody reads.
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  let end = () => reject(new MkvError("failed", `thread ${number} has ended: stopping`));
  const fail = (error: MkvError) => (end = () => reject(error));
  worker.on("message", (message: Message) => {
    if ("said" in message) onSaid(message.said);
    else if ("result" in message) end = () => resolve(message.result as T);
    else fail(new MkvError(message.failure.code, message.failure.message));
  });
  worker.on("error", (error: unknown) =>
    fail(new MkvError("failed", `thread ${number} has died (${reasonOf(error)}): stopping`, { cause: error })),
  );
  worker.once("exit", () => end());
  const onStop = () => worker.postMessage("stop");
  stop.addEventListener("abort", onStop);
  return promise;
}

/** The thread's side of `inThread`: does the task that it was started for. */
export async function runThread(work: (task: unknown, context: ThreadContext) => Promise<unknown>): Promise<void> {
  const { task, clock, metrics, log } = workerData as WorkerData;
  startClock(clock);
  joinMetrics(metrics);
  logAs(log);
  const stop = new AbortController();
  const tell = (message: Message) => parentPort!.postMessage(message);
  parentPort!.once("message", () => stop.abort());
  try {
    tell({ result: await work(task, { stop: stop.signal, say: (said) => tell({ said }) }) });
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    tell({ failure: { code: error.code, message: error.message } });
  }
}

/**
 * Does a share of some work on each of so many threads. The first failure stops them all.
 * @param share does one, until it is told to stop
 * @throws whatever failed first, when all have ended
 */
export async function firstFailureStopsAll<T>(
  threads: number,
  share: (number: number, stop: AbortSignal) => Promise<T>,
): Promise<T[]> {
  const stop = new AbortController();
  const shares = Array.from({ length: threads }, (_, number) => share(number, stop.signal));
  for (const one of shares) one.catch((error: unknown) => stop.abort(error)); // The first reason stays.
  await Promise.allSettled(shares);
  stop.signal.throwIfAborted();
  return await Promise.all(shares);
}
