// Owns what of a store goes into a backup: its ledger, and of what it remembers that which safety rests on; and that one is of
// the store where it is brought back.
import { MkvError } from "../errors";
import { type Topology } from "../format/placement";
import { backupOf } from "../ledger/backup";
import { type Ledger, type Memory, entriesOf } from "../ledger/ledger";
import { refillPrefix } from "./adopt";
import { bucketPrefix } from "./buckets";
import { idPrefix } from "./places/ids";
import { putBackPrefix } from "./places/put-back";
import { lastTopology, topologyName } from "./places/topology";
import { uploadPrefix } from "./uploads";

/**
 * What is remembered goes along if its name begins like this: who the volumes are and what the store looks like, buckets and
 * uploads of S3, disks that are to be filled, places that were put back. What else lacks copies a verify finds.
 */
const remembered = [bucketPrefix, idPrefix, putBackPrefix, refillPrefix, topologyName, uploadPrefix];

/** The text of a backup of this ledger, in pieces. Throws as `backupOf`. */
export async function* backup(ledger: Ledger, options: { topology?: Topology } = {}): AsyncGenerator<Uint8Array> {
  const topology = options.topology ?? (await lastTopology(ledger.memory));
  yield* backupOf(ledger, { topology, names: remembered });
}

/**
 * Throws MkvError failed if none of the volumes of a backup is one of those that are remembered where it is to be: a master
 * would show, and delete, what another store has.
 */
export async function requireSameStore(here: Memory, backup: ReadonlyMap<string, unknown>): Promise<void> {
  const theirs = new Set<unknown>();
  for (const [name, id] of backup) if (name.startsWith(idPrefix) && typeof id === "string") theirs.add(id);
  const own = new Set<unknown>();
  for await (const [, id] of entriesOf(here, idPrefix)) if (typeof id === "string") own.add(id);
  if (own.size === 0 || theirs.size === 0 || !own.isDisjointFrom(theirs)) return;
  const advice = "name another -db, or, if it is a folder, move away what lies beside it (.NAME.mkv)";
  throw new MkvError("failed", `the backup is of another store: it has none of the volumes that were here: ${advice}`);
}
