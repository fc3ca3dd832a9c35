// Owns the running of rebuild from the command line, on as many threads as are asked for: each gathers its share of the
// folders into the one new index.
import { parentPort } from "node:worker_threads";
import { type ErrorCode, MkvError } from "../errors";
import { hashFolders } from "../jobs/folders";
import { type JobProgress } from "../jobs/pool";
import { type Gathering, type RebuildCounts, gather, keepOldFacts } from "../jobs/rebuild";
import { entriesOf } from "../ledger/ledger";
import { openLevelIndex } from "../ledger/level/leveldb";
import { type LevelRebuild, type Owed, rebuildLevel } from "../ledger/level/rebuild";
import { limits } from "../limits";
import { idPrefix } from "../store/places";
import { type Volumes } from "../volumes/volumes";
import { type Config } from "./config";
import { accessVolumes } from "./open";
import { watchPlaces } from "./places";
import { type Progress, withProgress } from "./progress";
import { startWorker } from "./threads";

/**
 * Regenerates the index from the volumes. Throws MkvError if that failed: the old index is as it was then.
 * @param entry URL of the program, which worker threads run too
 */
export async function runRebuild(config: Config, entry: string): Promise<void> {
  await using rebuild = await rebuildLevel(config.db);
  const { next, old } = rebuild;
  const volumes = accessVolumes(config);
  const renamed = await renamedSince(volumes, rebuild);
  const owed = rebuild.owedBy((volume) => renamed.get(volume) ?? volume);
  if (rebuild.suspect) await Bun.sleep(limits.fenceOverMs); // What no journal knows of may still be on its way to volumes.
  const { keys, files, rejected } = await withProgress("rebuild", async (progress) => {
    const counts = await gatherAll({ config, rebuild, owed, progress, entry });
    if (old && !rebuild.suspect) await keepOldFacts(old, { next, volumes, progress });
    return counts;
  });
  await rebuild.swap();
  console.log(`rebuilt ${config.db}: ${keys} keys in ${files} files; ${rejected} files reported and not indexed`);
}

/**
 * Places by the names that they had, if it is remembered who they were.
 * @throws MkvError failed: a disk is not the one it was, and what it lacks would be lost
 */
async function renamedSince(volumes: Volumes, { memory }: LevelRebuild): Promise<ReadonlyMap<string, string>> {
  for await (const _known of entriesOf(memory, idPrefix)) {
    const { renamed, foreign } = await watchPlaces(volumes, memory);
    const [disk] = foreign();
    if (disk === undefined) return renamed;
    const advice = `mount it, or run "mkv adopt ${disk}" if it was replaced`;
    throw new MkvError("failed", `${disk} is not the disk it was: ${advice}`);
  }
  return new Map();
}

/** What a worker thread gathers, and where to. */
export type RebuildTask = Pick<Gathering, "owed" | "suspect" | "share"> & {
  readonly name: "rebuild";
  readonly config: Config;
  readonly folder: string;
  /** Folder of the old index, if it can be read. */
  readonly old: string | undefined;
};

/** What a worker thread tells of it: folders done, lines to be seen, in the end either of the others. */
type Report =
  | { readonly done: number }
  | { readonly note: string }
  | { readonly counts: RebuildCounts }
  | { readonly failure: { readonly code: ErrorCode; readonly message: string } };

type Work = { config: Config; rebuild: LevelRebuild; owed: Owed; progress: Progress; entry: string };

/** Gathers all shares, one in this thread; the first failure ends them all, and is thrown when they have ended. */
async function gatherAll({ config, rebuild, owed, progress, entry }: Work): Promise<RebuildCounts> {
  const { folder, next, old, suspect } = rebuild;
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
    const task = { name: "rebuild", config, folder, old: old && config.db, owed, suspect, share: part.share } as const;
    if (number > 0) return inWorker(task, { entry, ...part });
    return gather({ next, old, owed, suspect, volumes: accessVolumes(config), ...part });
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
  const onMessage = (message: unknown) => {
    const report = message as Report;
    if ("done" in report) progress.at(report.done, hashFolders);
    else if ("note" in report) progress.note(report.note);
    else last = report;
  };
  const { number } = task.share;
  const worker = startWorker(number, { entry, task, onMessage });
  stop.addEventListener("abort", () => worker.post("stop"));
  await worker.ended;
  if (last && "counts" in last) return last.counts;
  if (last && "failure" in last) throw new MkvError(last.failure.code, last.failure.message);
  throw new MkvError("failed", `thread ${number} has ended: stopping`);
}

/** A worker thread's part of `runRebuild`. */
export async function rebuildTask({
  config,
  folder,
  old: oldFolder,
  owed,
  suspect,
  share,
}: RebuildTask): Promise<void> {
  const stop = new AbortController();
  const report = (report: Report) => parentPort!.postMessage(report);
  parentPort!.once("message", () => stop.abort());
  const progress = { at: (done: number) => report({ done }), note: (note: string) => report({ note }) };
  try {
    await using next = await openLevelIndex(folder);
    await using old = oldFolder === undefined ? undefined : await openLevelIndex(oldFolder);
    const volumes = accessVolumes(config);
    report({ counts: await gather({ next, old, owed, suspect, volumes, progress, share, stop: stop.signal }) });
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    report({ failure: { code: error.code, message: error.message } });
  }
}
