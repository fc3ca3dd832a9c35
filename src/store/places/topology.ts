// Owns what the store looked like last, and that a master keeps to it.
//   "shape" -> Topology                     in the ledger's memory
import { MkvError } from "../../errors";
import { type Topology } from "../../format/placement";
import { type Ledger, type Memory } from "../../ledger/ledger";
import { warn } from "../../log";
import { shaped } from "../../shape";

/** Under which name it is remembered what the store looked like last. */
export const topologyName = "shape";

/** What the store looked like last; undefined if that is not known, or damaged. */
export async function lastTopology(memory: Memory): Promise<Topology | undefined> {
  return shaped(await memory.get(topologyName), { volumes: [""], replicas: 0, subvolumes: 0 });
}

/**
 * Remembers what the store looks like, which a rebalance may change: a master is kept to it. An empty store may look like
 * anything.
 * @param options.isTold whether the number of subvolumes was given, and is no default
 * @throws MkvError failed: `-subvolumes` was forgotten, or the volumes are others
 */
export async function keepTopology(
  ledger: Ledger,
  topology: Topology,
  { by, isTold }: { by: "server" | "rebalance"; isTold: boolean },
): Promise<void> {
  const before = await lastTopology(ledger.memory);
  if (before && by === "server" && !(await isEmpty(ledger))) {
    const { volumes, subvolumes } = topology;
    if (!volumes.some((volume) => before.volumes.includes(volume))) {
      const was = before.volumes.join(",");
      throw new MkvError(
        "failed",
        `-volumes names none of the store's volumes, which were ${was}: if they were renamed, run rebuild with the new names; ` +
          "if values are to move to other ones, run rebalance with those",
      );
    }
    if (subvolumes !== before.subvolumes) {
      const text = `the store has -subvolumes ${before.subvolumes}, not ${subvolumes}`;
      if (!isTold)
        throw new MkvError("failed", `${text}: give that flag, or run rebalance with -subvolumes ${subvolumes} first`);
      warn(`${text}: values stay where they are until a rebalance`);
    }
  }
  await ledger.memory.put(topologyName, topology);
}

async function isEmpty(ledger: Ledger): Promise<boolean> {
  for await (const page of ledger.scan({}, { atOnce: 1 })) if (page.length > 0) return false;
  return ledger.owing === 0;
}
