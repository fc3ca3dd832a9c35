// Owns what the store looked like last, and that nobody changes its subvolumes by a flag that was forgotten.
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
 * Remembers what the store looks like, unless `by` a verify. An empty store may look like anything.
 * @param options.isTold whether the number of subvolumes was given, and is no default
 * @throws MkvError failed: `-subvolumes` was forgotten, by which nearly every value would be moved, or a master has other volumes
 */
export async function keepTopology(
  ledger: Ledger,
  topology: Topology,
  { by, isTold }: { by: "server" | "rebalance" | "verify"; isTold: boolean },
): Promise<void> {
  const before = await lastTopology(ledger.memory);
  if (before && !(await isEmpty(ledger))) {
    if (by === "server" && !topology.volumes.some((volume) => before.volumes.includes(volume))) {
      const was = before.volumes.join(",");
      throw new MkvError(
        "failed",
        `-volumes names none of the store's volumes, which were ${was}: if they were renamed, run rebuild with the new names; ` +
          "if values are to move to other ones, run rebalance with those",
      );
    }
    for (const name of ["subvolumes", "replicas"] as const) {
      if (topology[name] === before[name]) continue;
      const text = `the store has -${name} ${before[name]}, not ${topology[name]}`;
      if (name === "subvolumes" && !isTold)
        throw new MkvError(
          "failed",
          `${text}: give that flag, or run rebalance with -${name} ${topology[name]} to change it`,
        );
      if (by === "server") warn(`${text}: values stay where they are until a rebalance`);
    }
  }
  if (by !== "verify") await ledger.memory.put(topologyName, topology);
}

async function isEmpty(ledger: Ledger): Promise<boolean> {
  for await (const page of ledger.scan({}, { atOnce: 1 })) if (page.length > 0) return false;
  return ledger.owing === 0;
}
