// Owns the running of jobs from the command line: their index, their progress, their last line.
import { existsSync, rmSync } from "node:fs";
import { MkvError } from "../errors";
import { type Index } from "../index/index";
import { debtsBeside } from "../index/journal";
import { mayOpenLevelIndex, openLevelIndex, swapIndex } from "../index/leveldb";
import { rebalance } from "../jobs/rebalance";
import { rebuild } from "../jobs/rebuild";
import { type Config } from "./config";
import { accessVolumes, keepWell, openStore } from "./open";
import { showProgress } from "./progress";

/** Regenerates the index from the volumes. Throws MkvError if that failed: the old index is as it was then. */
export async function runRebuild(config: Config): Promise<void> {
  const next = `${config.db}.rebuild`;
  rmSync(next, { recursive: true, force: true }); // Of a run that was cut short.
  const old = await mayOpenLevelIndex(config.db);
  try {
    const counts = await rebuildInto(next, old, config);
    await old?.[Symbol.asyncDispose]();
    swapIndex(next, config.db);
    const { keys, files, rejected } = counts;
    console.log(`rebuilt ${config.db}: ${keys} keys in ${files} files; ${rejected} files reported and not indexed`);
  } catch (error) {
    await old?.[Symbol.asyncDispose]();
    rmSync(next, { recursive: true, force: true });
    throw error;
  }
}

async function rebuildInto(folder: string, old: Index | undefined, config: Config) {
  await using next = await openLevelIndex(folder);
  using progress = showProgress("rebuild");
  const volumes = accessVolumes(config);
  return await rebuild({ old, next, debts: debtsBeside(config.db), topology: config.topology, volumes, progress });
}

/** Brings every key to the volumes where it belongs. Throws MkvError if that did not succeed for all. */
export async function runRebalance(config: Config): Promise<void> {
  if (!existsSync(config.db)) throw new MkvError("failed", `there is no index at ${config.db}`);
  await using store = await openStore(config, { mustExist: true });
  await using _care = keepWell(store);
  const counts = await (async () => {
    using progress = showProgress("rebalance");
    return await rebalance(store, progress);
  })();
  const { keys, moved, failed, leftBehind } = counts;
  console.log(`rebalanced ${keys} keys: ${moved} moved, ${keys - moved - failed} in place, ${failed} failed`);
  if (leftBehind > 0)
    console.log(`${leftBehind} old copies are left on volumes that are neither configured nor reachable`);
  if (failed > 0)
    throw new MkvError("failed", `${failed} keys could not be rebalanced: mend what is named above and run it again`);
}
