// Owns how far a job has got: a bar on a terminal, plain lines elsewhere.
import { Presets, SingleBar } from "cli-progress";
import { type JobProgress } from "../jobs/pool";
import { say } from "../log";

/** The progress of a job, until it is disposed of. */
type Progress = JobProgress & Disposable;

/** Does the work of a job, whose progress shows on stderr meanwhile. */
export async function withProgress<T>(what: string, work: (progress: Progress) => Promise<T>): Promise<T> {
  using progress = process.stderr.isTTY ? bar(what) : lines(what);
  return await work(progress);
}

function bar(what: string): Progress {
  const options = {
    format: `${what} {bar} {percentage}% | {value} of {total} | {eta_formatted} left`,
    hideCursor: true,
  };
  const shown = new SingleBar({ ...options, stream: process.stderr, forceRedraw: true }, Presets.shades_classic);
  shown.start(1, 0);
  return {
    at(done, total) {
      shown.setTotal(total);
      shown.update(done);
    },
    note(line) {
      process.stderr.write(`\r\x1b[K${line}\n`);
    },
    [Symbol.dispose]: () => shown.stop(),
  };
}

function lines(what: string): Progress {
  const everyMs = 5000;
  let lastMs = performance.now();
  return {
    at(done, total) {
      if (performance.now() - lastMs < everyMs) return;
      lastMs = performance.now();
      say(`${what}: ${done} of ${total}`);
    },
    note: say,
    [Symbol.dispose]() {},
  };
}
