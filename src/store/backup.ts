// Owns what of a store goes into a backup: its ledger, and of what it remembers that which safety rests on.
import { type Topology } from "../format/placement";
import { backupOf } from "../ledger/backup";
import { type Ledger } from "../ledger/ledger";
import { bucketPrefix } from "./buckets";
import { idPrefix } from "./places";
import { uploadPrefix } from "./uploads";

/** Under which name it is remembered what the store looked like last. */
export const shapeName = "shape";

/** The text of a backup of this ledger, in pieces. Throws as `backupOf`. */
export async function* backup(
  ledger: Ledger,
  options: { topology?: Topology | undefined; onKeys?: (keys: number) => void } = {},
): AsyncGenerator<Uint8Array> {
  const topology = options.topology ?? ((await ledger.memory.get(shapeName)) as Topology | undefined);
  yield* backupOf(ledger, { ...options, topology, names: [idPrefix, shapeName, bucketPrefix, uploadPrefix] });
}
