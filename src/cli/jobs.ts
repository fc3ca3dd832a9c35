// Owns the running of the jobs from the command line: whoever keeps their ledger, their threads, their progress, their last
// line.
import { MkvError } from "../errors";
import { type Task } from "../jobs/cursor";
import { noFindings, problems, wrongIn } from "../jobs/findings";
import { masterTarget } from "../jobs/master";
import { type JobProgress, type Step } from "../jobs/pool";
import { rebalance } from "../jobs/rebalance";
import { type Gathering, type RebuildCounts, gather } from "../jobs/rebuild";
import { keepOldFacts } from "../jobs/rebuild-old";
import { type JobTarget, ownTarget } from "../jobs/target";
import { verify } from "../jobs/verify";
import { type IndexNames } from "../ledger/next";
import { counted, print } from "../log";
import { idPrefix } from "../store/places/ids";
import { keepWatch, maintain } from "../store/maintain";
import { paceOf } from "../store/pace";
import { beforeRebuild, endRebuild } from "../store/rebuild";
import { adoptPlace } from "../store/adopt";
import { allEpochs } from "../volumes/epochs";
import { type Volumes } from "../volumes/volumes";
import { type Config } from "./config";
import { ledgerAt } from "./ledgers";
import { accessVolumes, mayChange, openStore } from "./open";
import { type Report, withProgress } from "./progress";
import { type ThreadContext, firstFailureStopsAll, inThread } from "./threads";

/**
 * Regenerates the index from the volumes, on as many threads as are asked for: each gathers its share of the folders into
 * the one new index. Throws MkvError if that failed: the old index is as it was then.
 * @param options.entry URL of the program, which worker threads run too
 */
export async function runRebuild(config: Config, report: Report, { entry }: { entry: string }): Promise<void> {
  const counts = Object.assign(report, { keys: 0, files: 0, rejected: 0 });
  const kind = ledgerAt(config);
  const volumes = accessVolumes(config);
  await using rebuild = await kind.rebuild(() => allEpochs(volumes));
  const { next, old, suspect, names } = rebuild;
  const { renamed, owed, putBack } = await beforeRebuild(volumes, rebuild);
  await withProgress("rebuild", async (progress) => {
    const progressOf = sharesOf(progress, config.threads);
    const shares = await firstFailureStopsAll(config.threads, (number, stop) => {
      const part = { owed, suspect, putBack, renamed, share: { number, of: config.threads } };
      const shown = progressOf(number);
      if (number === 0) return gather({ ...part, next, old, volumes: accessVolumes(config), progress: shown, stop });
      const task: RebuildTask = { ...part, name: "rebuild", config, names };
      const onSaid = (said: unknown) => {
        if (typeof said === "string") shown.note(said);
        else shown.at(said as Step);
      };
      return inThread<RebuildCounts>(number, { entry, task, stop, onSaid });
    });
    if (old) await keepOldFacts({ next, old, owed, suspect, volumes, progress, renamed });
    for (const share of shares) for (const name of ["keys", "files", "rejected"] as const) counts[name] += share[name];
  });
  await endRebuild(volumes, rebuild);
  const { keys, files, rejected } = counts;
  const found = `${counted(keys, "key")} in ${counted(files, "file")}`;
  print(`rebuilt ${kind.shown}: ${found}; ${counted(rejected, "file")} reported and not indexed`);
}

/** What a worker thread gathers, and where to. */
export type RebuildTask = Pick<Gathering, "owed" | "suspect" | "putBack" | "renamed" | "share"> & {
  readonly name: "rebuild";
  readonly config: Config;
  readonly names: IndexNames;
};

/** A worker thread's part of `runRebuild`. It says how many folders are done, and lines that must be seen. */
export async function rebuildTask(task: RebuildTask, { stop, say }: ThreadContext): Promise<RebuildCounts> {
  await using tables = await ledgerAt(task.config).joinRebuild(task.names);
  const { next, old } = tables;
  const progress = { at: say, note: say };
  return await gather({ ...task, next, old, volumes: accessVolumes(task.config), progress, stop });
}

/** The progress of each thread, which together is that of the rebuild. */
function sharesOf(progress: JobProgress, threads: number): (number: number) => JobProgress {
  const steps = Array.from({ length: threads }, (): Step => ({ what: "file", done: 0, share: 0 }));
  return (number) => ({
    at(step) {
      steps[number] = step;
      const done = steps.reduce((sum, one) => sum + one.done, 0);
      progress.at({ what: "file", done, share: steps.reduce((sum, one) => sum + (one.share ?? 0), 0) });
    },
    note: (line) => progress.note(line),
  });
}

/** Brings every key to the volumes where it belongs. Throws MkvError if that did not succeed for all. */
export async function runRebalance(config: Config, report: Report): Promise<void> {
  const counts = Object.assign(report, { keys: 0, moved: 0, failed: 0, leftBehind: 0, bytes: 0 });
  await using opened = await openTarget(config, "rebalance");
  const task = taskOf(config, { job: "rebalance", flags: [] });
  await withProgress("rebalance", (progress) => rebalance({ target: opened.target, task, progress, counts }));
  const { keys, moved, failed, leftBehind, bytes } = counts;
  const rest = `${keys - moved - failed} in place, ${failed} failed`;
  if (task.dryRun) print(`would move ${moved} of ${counted(keys, "key")}, and copy ${counted(bytes, "byte")}: ${rest}`);
  else print(`rebalanced ${counted(keys, "key")}: ${moved} moved, ${rest}`);
  if (leftBehind > 0)
    print(
      `${leftBehind} old ${leftBehind === 1 ? "copy is" : "copies are"} left on volumes that are neither configured nor reachable`,
    );
  if (failed === 0) return;
  const advice = "mend what is named above, then run it again";
  throw new MkvError("failed", `${counted(failed, "key")} could not be rebalanced: ${advice}`);
}

/** Compares index and volumes. Throws MkvError if anything is wrong and was not repaired. */
export async function runVerify(config: Config, report: Report): Promise<void> {
  const counts = Object.assign(report, noFindings());
  const { md5, rate, repair, orphans: removeOrphans } = config;
  const depth = md5 ? "md5" : "length";
  const flags = [depth, repair ? "repair" : "", removeOrphans ? "orphans" : ""];
  const task = taskOf(config, { job: "verify", flags });
  await using opened = await openTarget(config, "verify");
  const job = { ...opened, depth, pace: paceOf(rate * 1e6), repair, removeOrphans, task, counts } as const;
  await withProgress("verify", (progress) => verify({ ...job, progress }));
  const wrong = wrongIn(counts);
  if (task.dryRun && (repair || removeOrphans)) {
    const would = `would repair ${counts.repaired} of ${counted(wrong, "problem")}`;
    print(`-repair ${would}, and copy ${counted(counts.bytes, "byte")}`);
  }
  const repaired = task.dryRun ? 0 : counts.repaired;
  const kinds = problems.map((problem) => `${counts[problem]} ${problem}`).join(", ");
  const looked = `${counted(counts.keys, "key")} and ${counted(counts.files, "file")}`;
  print(`verified ${looked}: ${kinds}; ${repaired} repaired`);
  if (wrong === repaired) return;
  const mending = repair && !task.dryRun ? "mend what is named above, then run it again" : "see -repair and -orphans";
  const advice = counts.unknown > 0 ? `bring up what does not answer; ${mending}` : mending;
  const left = wrong - repaired;
  throw new MkvError("failed", `${counted(left, "problem")} ${left === 1 ? "is" : "are"} left: ${advice}`);
}

/** What a job is to do, as far as it is remembered for the next one. */
function taskOf(config: Config, { job, flags }: Pick<Task, "job" | "flags">): Task {
  return { job, flags, topology: config.topology, fromStart: config["from-start"], dryRun: config["dry-run"] };
}

/** Takes disks, or volumes with all their disks, for what they are now. Throws MkvError if one does not answer. */
export async function runAdopt(config: Config, names: readonly string[]): Promise<void> {
  await using held = new AsyncDisposableStack();
  const adopt = (await adoptionWithoutIndex(config, held)) ?? held.use(await openTarget(config, "verify")).target.adopt;
  for (const name of names) {
    await adopt(name);
    print(
      `${name} is the store's own now: the master fills it, no faster than -heal; a rebalance does so at once, with -heal 0, too`,
    );
  }
}

/** Where the index is lost, a rebuild needs all places to be known first: what is remembered of them lies beside it. */
async function adoptionWithoutIndex(
  config: Config,
  held: AsyncDisposableStack,
): Promise<((name: string) => Promise<void>) | undefined> {
  if (config.source.kind === "master") return undefined;
  await using undo = new AsyncDisposableStack();
  const memory = undo.use(await ledgerAt(config).openWithoutIndex());
  if (!memory || (await memory.page(idPrefix, { atMost: 1 })).length === 0) return undefined;
  held.use(undo.move());
  return (name) => adoptPlace({ volumes: accessVolumes(config), ledger: { memory } }, name);
}

/** Whoever keeps the ledger: the master of these settings, or this process. */
async function openTarget(
  config: Config,
  purpose: "rebalance" | "verify",
): Promise<{ target: JobTarget; volumes: Volumes } & AsyncDisposable> {
  const { source, userpass: credentials, "dry-run": dryRun } = config;
  const bytesPerSecond = config.rate * 1e6;
  const held = new AsyncDisposableStack();
  if (source.kind === "master") {
    const target = masterTarget(source.url, { credentials, bytesPerSecond });
    return Object.assign(held, { target, volumes: accessVolumes(config) });
  }
  // A verify does not change what the store looks like.
  const { store, watch } = held.use(await openStore(config, { purpose: dryRun ? "verify" : purpose }));
  held.use(mayChange(config, purpose) ? maintain(store, watch) : keepWatch(watch));
  return Object.assign(held, { target: ownTarget(store, { bytesPerSecond }), volumes: store.volumes });
}
