// Owns what of a store goes into a backup: its ledger, and of what it remembers that which safety rests on.
import { type Topology } from "../format/placement";
import { backupOf } from "../ledger/backup";
import { type Ledger, type Memory } from "../ledger/ledger";
import { shaped } from "../shape";
import { bucketPrefix } from "./buckets";
import { idPrefix } from "./ids";
import { refillPrefix } from "./places";
import { uploadPrefix } from "./uploads";

/** Under which name it is remembered what the store looked like last. */
export const shapeName = "shape";

/** What the store looked like last; undefined if that is not known, or damaged. */
export async function lastShape(memory: Memory): Promise<Topology | undefined> {
  return shaped(await memory.get(shapeName), { volumes: [""], replicas: 0, subvolumes: 0 });
}

/**
 * What is remembered goes along if its name begins like this: who the volumes are and what the store looks like, buckets and
 * uploads of S3, disks that are to be filled. What else lacks copies a verify finds.
 */
const remembered = [bucketPrefix, idPrefix, refillPrefix, shapeName, uploadPrefix];

/** The text of a backup of this ledger, in pieces. Throws as `backupOf`. */
export async function* backup(ledger: Ledger, options: { topology?: Topology } = {}): AsyncGenerator<Uint8Array> {
  const topology = options.topology ?? (await lastShape(ledger.memory));
  yield* backupOf(ledger, { topology, names: remembered });
}
