// Owns what is looked at before a store is served: whether a missing index is an empty one, and whether the flags are those
// of the store that is there.
import { MkvError, reasonOf } from "../errors";
import { type Topology } from "../format/placement";
import { files, folders } from "../jobs/folders";
import { type Ledger } from "../ledger/ledger";
import { warn } from "../log";
import { shapeName } from "../store/backup";
import { AccessRefused } from "../volumes/client";
import { type Volumes } from "../volumes/volumes";
import { type Config } from "./config";

/**
 * Refuses to make a new index while a volume has values. Returns whether all volumes could be looked at.
 * @throws MkvError failed; also if there was an index here, and a volume cannot be looked at
 */
export async function requireNoValues(
  volumes: Volumes,
  { db, hadOne }: { db: string; hadOne: boolean },
): Promise<{ isSure: boolean }> {
  let isSure = true;
  for (const volume of volumes.topology.volumes) {
    const isThere = await volumes.wake(volume);
    try {
      if (!isThere) throw new MkvError("unavailable", "it does not answer");
      if ((await firstValue(volumes, volume)) === undefined) continue;
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      const why = `whether ${volume} has values is not known: ${reasonOf(error)}`;
      if (hadOne) throw new MkvError("failed", `there is no index at ${db} any more, and ${why}: run rebuild first`);
      const isRefused = error instanceof AccessRefused && volumes.client.user.credentials !== undefined; // Without any, users bring theirs.
      if (isRefused) throw new MkvError("failed", `there is no index at ${db}, and ${why}`);
      warn(`there is no index at ${db}, and ${why}; if it has, run rebuild when it is back`);
      isSure &&= isThere; // One that is there and shows no listing is no volume of values.
      continue;
    }
    throw new MkvError("failed", `there is no index at ${db}, but ${volume} has values: run rebuild first`);
  }
  return { isSure };
}

async function firstValue(volumes: Volumes, volume: string): Promise<string | undefined> {
  for await (const folder of folders(volumes, { on: [volume] })) {
    for await (const [first] of files(volumes, folder)) if (first) return first.path;
  }
  return undefined;
}

/** What a store is opened for. */
export type Purpose = "server" | "rebalance" | "verify";

/**
 * Keeps a master to what the store looks like, which jobs may change. An empty store may look like anything.
 * @throws MkvError failed: `-subvolumes` was forgotten, or the volumes are others
 */
export async function requireSameShape(
  ledger: Ledger,
  { topology, subvolumes: asked }: Config,
  { purpose }: { purpose: Purpose },
): Promise<void> {
  if (purpose === "verify") return;
  const before = (await ledger.memory.get(shapeName)) as Topology | undefined;
  if (before && purpose === "server" && !(await isEmpty(ledger))) {
    const { volumes, subvolumes } = topology;
    if (!volumes.some((volume) => before.volumes.includes(volume))) {
      const was = before.volumes.join(",");
      throw wrong(
        `-volumes names none of the store's volumes, which were ${was}: run rebalance with the new ones first`,
      );
    }
    if (subvolumes !== before.subvolumes) {
      const text = `the store has -subvolumes ${before.subvolumes}, not ${subvolumes}`;
      if (asked === undefined)
        throw wrong(`${text}: give that flag, or run rebalance with -subvolumes ${subvolumes} first`);
      warn(`${text}: values stay where they are until a rebalance`);
    }
  }
  await ledger.memory.put(shapeName, topology);
}

async function isEmpty(ledger: Ledger): Promise<boolean> {
  for await (const page of ledger.scan({}, { atOnce: 1 })) if (page.length > 0) return false;
  return ledger.owing === 0;
}

function wrong(text: string): MkvError {
  return new MkvError("failed", text);
}
