// Owns the running of rebalance and verify from the command line: their index, their progress, their last line.
import { MkvError } from "../errors";
import { masterTarget } from "../jobs/master";
import { rebalance } from "../jobs/rebalance";
import { type JobTarget, ownTarget } from "../jobs/target";
import { problems, verify } from "../jobs/verify";
import { type Pace } from "../store/copy";
import { maintain } from "../store/maintain";
import { type Volumes } from "../volumes/volumes";
import { type Config } from "./config";
import { accessVolumes, openStore } from "./open";
import { withProgress } from "./progress";

/** Brings every key to the volumes where it belongs. Throws MkvError if that did not succeed for all. */
export async function runRebalance(config: Config): Promise<void> {
  await using opened = await openTarget(config, "rebalance");
  const { keys, moved, failed, leftBehind } = await withProgress("rebalance", (progress) =>
    rebalance(opened.target, progress),
  );
  console.log(`rebalanced ${keys} keys: ${moved} moved, ${keys - moved - failed} in place, ${failed} failed`);
  if (leftBehind > 0)
    console.log(`${leftBehind} old copies are left on volumes that are neither configured nor reachable`);
  if (failed > 0)
    throw new MkvError("failed", `${failed} keys could not be rebalanced: mend what is named above, then run it again`);
}

/** Compares index and volumes. Throws MkvError if anything is wrong and was not repaired. */
export async function runVerify(config: Config): Promise<void> {
  await using opened = await openTarget(config, "verify");
  const { topology, depth, repair, removeOrphans } = config;
  const { target, volumes } = opened;
  const pace = paceOf(config.bytesPerSecond);
  const counts = await withProgress("verify", (progress) =>
    verify({ target, topology, volumes, depth, pace, repair, removeOrphans, progress }),
  );
  const wrong = problems.reduce((sum, problem) => sum + counts[problem], 0);
  const kinds = problems.map((problem) => `${counts[problem]} ${problem}`).join(", ");
  console.log(`verified ${counts.keys} keys and ${counts.files} files: ${kinds}; ${counts.repaired} repaired`);
  if (wrong > counts.repaired) {
    const advice = repair ? "mend what is named above, then run it again" : "see -repair and -orphans";
    throw new MkvError("failed", `${wrong - counts.repaired} problems are left: ${advice}`);
  }
}

/** Takes disks, or volumes with all their disks, for what they are now. Throws MkvError if one does not answer. */
export async function runAdopt(config: Config, names: readonly string[]): Promise<void> {
  await using opened = await openTarget(config, "verify");
  for (const name of names) {
    await opened.target.adopt(name);
    console.log(`${name} is one of the store's from now on: a rebalance fills it`);
  }
}

/** Whoever keeps the ledger: the master of these settings, or this process. */
async function openTarget(
  config: Config,
  purpose: "rebalance" | "verify",
): Promise<{ target: JobTarget; volumes: Volumes } & AsyncDisposable> {
  if (config.master !== undefined) {
    const volumes = accessVolumes(config);
    return { target: masterTarget(config.master, config.credentials), volumes, async [Symbol.asyncDispose]() {} };
  }
  const opened = await openStore(config, { purpose });
  const { store, watch } = opened;
  const care = maintain(store, watch);
  return {
    target: ownTarget(store),
    volumes: store.volumes,
    async [Symbol.asyncDispose]() {
      await care[Symbol.asyncDispose]();
      await opened[Symbol.asyncDispose]();
    },
  };
}

/** Spreads the reading of bytes over time; a second's worth may be read at once. */
function paceOf(bytesPerSecond: number): Pace {
  let readyMs = performance.now();
  return async (bytes) => {
    if (bytesPerSecond === 0) return;
    readyMs = Math.max(readyMs, performance.now() - 1000) + (bytes / bytesPerSecond) * 1000;
    const waitMs = readyMs - performance.now();
    if (waitMs > 0) await Bun.sleep(waitMs);
  };
}
