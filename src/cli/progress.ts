// Owns what a job tells while it runs, and at its end.
// 1. How far it has got: a bar on a terminal, plain lines elsewhere. What is not known is not shown: how much there is, how
//    long it takes.
// 2. Its last line for programs: one JSON object, whether it went well or not.
//   {"job", "exit": 0 | 1 | 2, "seconds", "dryRun"?, its counts, "error"?}; a dry run counts what would be done
import { Format, type Options, Presets, SingleBar } from "cli-progress";
import { exitCodeOf, reasonOf } from "../errors";
import { type JobProgress, type Step } from "../jobs/pool";
import { limits } from "../limits";
import { counted, print, printable, say } from "../log";
import { type Given, isAskedFor } from "./config";

type Progress = JobProgress & Disposable;

/** Does the work of a job, whose progress shows on stderr meanwhile. */
export async function withProgress<T>(what: string, work: (progress: Progress) => Promise<T>): Promise<T> {
  using progress = process.stderr.isTTY ? bar(what) : lines(what);
  return await work(progress);
}

/** What a job counts, as far as it gets. */
export type Report = Record<string, number>;

/** Does the work of a command, and says under -json how it ended. Throws what `work` throws. */
export async function reported(job: string, given: Given, work: (report: Report) => Promise<void>): Promise<void> {
  const [isAsked, dryRun] = [isAskedFor(given, "json"), isAskedFor(given, "dry-run") && { dryRun: true }];
  const startMs = performance.now();
  const report: Report = {};
  let failure: { readonly error: unknown } | undefined;
  await work(report).catch((error: unknown) => (failure = { error }));
  if (isAsked) {
    const seconds = Math.round(performance.now() - startMs) / 1000;
    const error = failure && { error: reasonOf(failure.error) };
    const exit = failure ? exitCodeOf(failure.error) : 0;
    print(printable(JSON.stringify({ job, exit, seconds, ...dryRun, ...report, ...error })));
  }
  if (failure) throw failure.error;
}

function bar(what: string): Progress {
  const textOf = describe();
  const format = (options: Options, { progress }: { progress: number }, { text }: { text?: string }) => {
    const drawn = `${Format.BarFormat(progress, options)} ${Math.floor(progress * 100)}% | `;
    return `${what} ${progress > 0 ? drawn : ""}${text ?? "begins"}`;
  };
  const options = { format, hideCursor: true, stream: process.stderr, forceRedraw: true };
  const shown = new SingleBar(options, Presets.shades_classic);
  shown.start(1, 0);
  return {
    at: (step) => shown.update(Math.min(shareOf(step) ?? 0, 1), { text: textOf(step) }),
    note: (line) => void process.stderr.write(`\r\x1b[K${printable(line)}\n`),
    [Symbol.dispose]: () => shown.stop(),
  };
}

function lines(what: string): Progress {
  const textOf = describe();
  let lastMs = performance.now();
  return {
    at(step) {
      const text = textOf(step);
      if (performance.now() - lastMs < limits.progressMs) return;
      lastMs = performance.now();
      say(`${what}: ${text}`);
    },
    note: say,
    [Symbol.dispose]() {},
  };
}

/** Puts steps in words: `16 of 40 keys, 8 a second, 3 s left`. */
function describe(): (step: Step) => string {
  let first: { step: Step; atMs: number } | undefined;
  let lastMs = performance.now();
  return (step) => {
    if (first?.step.what !== step.what) first = { step: { ...step, done: step.done - 1 }, atMs: lastMs };
    lastMs = performance.now();
    const seconds = (lastMs - first.atMs) / 1000;
    const { what, done, of } = step;
    const words = [of !== undefined && done <= of ? `${done} of ${counted(of, what)}` : counted(done, what)];
    if (seconds < 1) return words.join();
    const perSecond = (done - first.step.done) / seconds;
    words.push(perSecond < 10 ? `${perSecond.toFixed(1)} a second` : `${Math.round(perSecond)} a second`);
    const [from, share] = [shareOf(first.step), shareOf(step)];
    if (from !== undefined && share !== undefined && share > from && share <= 1)
      words.push(`${durationOf((seconds * (1 - share)) / (share - from))} left`);
    return words.join(", ");
  };
}

/** Which part of the whole is done, where that is known. */
function shareOf({ done, of, share }: Step): number | undefined {
  return share ?? (of === undefined || of === 0 || done > of ? undefined : done / of);
}

function durationOf(seconds: number): string {
  if (seconds < 100) return `${Math.ceil(seconds)} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 100 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
