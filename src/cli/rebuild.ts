// Owns the running of rebuild from the command line, on as many threads as are asked for: each gathers its share of the
// folders into the one new index.
import { rmSync } from "node:fs";
import { parentPort } from "node:worker_threads";
import { type ErrorCode, MkvError } from "../errors";
import { type Index } from "../ledger/index";
import { debtsBeside } from "../ledger/level/journal";
import { mayOpenLevelIndex, openLevelIndex, removeLevelIndex, swapIndex } from "../ledger/level/leveldb";
import { hashFolders } from "../jobs/folders";
import { type JobProgress } from "../jobs/pool";
import { type Gathering, type Owed, type RebuildCounts, keepOldFacts, gather, readOwed } from "../jobs/rebuild";
import { type Config } from "./config";
import { accessVolumes } from "./open";
import { type Progress, withProgress } from "./progress";
import { startWorker } from "./threads";

/**
 * Regenerates the index from the volumes. Throws MkvError if that failed: the old index is as it was then.
 * @param entry URL of the program, which worker threads run too
 */
export async function runRebuild(config: Config, entry: string): Promise<void> {
  const next = `${config.db}.rebuild`;
  const { keys, files, rejected } = await rebuildInto(next, config, entry);
  swapIndex(next, config.db);
  console.log(`rebuilt ${config.db}: ${keys} keys in ${files} files; ${rejected} files reported and not indexed`);
}

/** The new index, finished and closed. Two that rebuild at once are kept apart by the locks of both indexes. */
async function rebuildInto(folder: string, config: Config, entry: string): Promise<RebuildCounts> {
  await using old = await mayOpenLevelIndex(config.db);
  await removeLevelIndex(folder); // Of a run that was cut short.
  await using next = await openLevelIndex(folder);
  try {
    return await withProgress("rebuild", async (progress) => {
      const owed: Owed = old ? await readOwed(debtsBeside(config.db), old, progress) : new Map();
      const counts = await gatherAll({ config, folder, owed, next, progress, entry });
      if (old) await keepOldFacts(old, next, progress);
      return counts;
    });
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** What a worker thread gathers, and where to. */
export type RebuildTask = {
  readonly name: "rebuild";
  readonly config: Config;
  readonly folder: string;
  readonly owed: Owed;
  readonly share: Gathering["share"];
};

/** What a worker thread tells of it: folders done, lines to be seen, in the end either of the others. */
type Report =
  | { readonly done: number }
  | { readonly note: string }
  | { readonly counts: RebuildCounts }
  | { readonly failure: { readonly code: ErrorCode; readonly message: string } };

type Work = Pick<RebuildTask, "config" | "folder" | "owed"> & { next: Index; progress: Progress; entry: string };

/** Gathers all shares, one in this thread; the first failure ends them all, and is thrown when they have ended. */
async function gatherAll({ config, folder, owed, next, progress, entry }: Work): Promise<RebuildCounts> {
  const stop = new AbortController();
  const of = config.threads;
  const done = Array.from({ length: of }, () => 0);
  const progressOf = (number: number): JobProgress => ({
    at(folders) {
      done[number] = folders;
      progress.at(
        done.reduce((sum, one) => sum + one),
        hashFolders,
      );
    },
    note: (line) => progress.note(line),
  });
  const shares = done.map((_, number) => {
    const part = { share: { number, of }, stop: stop.signal, progress: progressOf(number) };
    if (number > 0) return inWorker({ name: "rebuild", config, folder, owed, share: part.share }, { entry, ...part });
    return gather({ next, owed, topology: config.topology, volumes: accessVolumes(config), ...part });
  });
  const all = { keys: 0, files: 0, rejected: 0 };
  const failures: unknown[] = [];
  const add = ({ keys, files, rejected }: RebuildCounts) => {
    all.keys += keys;
    all.files += files;
    all.rejected += rejected;
  };
  const end = (error: unknown) => {
    failures.push(error);
    stop.abort();
  };
  await Promise.all(shares.map((share) => share.then(add, end)));
  if (failures.length > 0) throw failures[0];
  return all;
}

/** Has a worker thread gather a share. Throws the MkvError that it met, or failed if it died. */
async function inWorker(
  task: RebuildTask,
  { entry, stop, progress }: { entry: string; stop: AbortSignal; progress: JobProgress },
): Promise<RebuildCounts> {
  let last: Report | undefined;
  const hear = (message: unknown) => {
    const report = message as Report;
    if ("done" in report) progress.at(report.done, hashFolders);
    else if ("note" in report) progress.note(report.note);
    else last = report;
  };
  const { number } = task.share;
  const worker = startWorker(number, { entry, task, hear });
  stop.addEventListener("abort", () => worker.tell("stop"));
  await worker.ended;
  if (last && "counts" in last) return last.counts;
  if (last && "failure" in last) throw new MkvError(last.failure.code, last.failure.message);
  throw new MkvError("failed", `thread ${number} has ended: stopping`);
}

/** A worker thread's part of `runRebuild`. */
export async function rebuildTask({ config, folder, owed, share }: RebuildTask): Promise<void> {
  const stop = new AbortController();
  const report = (report: Report) => parentPort!.postMessage(report);
  parentPort!.once("message", () => stop.abort());
  const progress = { at: (done: number) => report({ done }), note: (note: string) => report({ note }) };
  const { topology } = config;
  try {
    await using next = await openLevelIndex(folder, { mustExist: true });
    const volumes = accessVolumes(config);
    report({ counts: await gather({ next, owed, topology, volumes, progress, share, stop: stop.signal }) });
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    report({ failure: { code: error.code, message: error.message } });
  }
}
