// Owns what a store is: all that its operations share.
import { type Topology } from "../format/placement";
import { type KnownValue, type Ledger } from "../ledger/ledger";
import { type Volumes } from "../volumes/volumes";
import { type Buckets } from "./buckets";
import { type WriteDates } from "./dates";
import { type Hints } from "./hints";
import { type Places } from "./places/places";

/** Is shown what there is of a key, while nobody changes it, and throws if that is not to be changed. */
export type Permit = (before: KnownValue) => void;

/** A store as one thread sees it. */
export type Store = {
  readonly topology: Topology;
  readonly ledger: Ledger;
  readonly volumes: Volumes;
  readonly dates: WriteDates;
  readonly buckets: Buckets;
  /** Keys that are to be brought home. */
  readonly hints: Hints;
  /** Fewest replicas of a value that may be acknowledged. */
  readonly minreplicas: number;
  readonly places: Places;
  /** The name that a volume or disk has now: records and debts may have an earlier one. */
  readonly currentName: (name: string) => string;
  /** How long an old copy stays after a move, where the new ones cannot be synced. */
  readonly graceMs: number;
  /** What a GET asks before it relies on a volume: whether it has the key, or nothing if the volume is up. */
  readonly probe: "key" | "volume";
  /** Whether the MD5 of values is computed and recorded. */
  readonly md5sum: boolean;
  /** Whether a key must be unlinked before it is deleted. */
  readonly protect: boolean;
};
