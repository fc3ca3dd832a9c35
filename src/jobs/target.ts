// Owns what a job may ask of whoever keeps the ledger: this process itself, or a master that runs (`master.ts`).
import { type Key, keyAfter } from "../format/key";
import { type RawEntry } from "../ledger/ledger";
import { type Healed, type HealOptions, healKey } from "../store/heal";
import { type JobMemory, type RememberedJob, recallJob, rememberJob } from "../store/job-memory";
import { moveKey } from "../store/move";
import { type OrphanLook, type OrphanSeen, lookAtOrphan } from "../store/orphan";
import { paceOf } from "../store/pace";
import { adoptPlace } from "../store/adopt";
import { recordText } from "../store/find";
import { type Store } from "../store/store";

/** Whoever keeps the ledger. What changes a key is done under its claim; all but `scan` and `getAll` throw MkvError busy. */
export type JobTarget = {
  /** All keys with their records, in order, or those after this one. */
  scan(after?: Key): AsyncIterable<readonly RawEntry[]>;
  /** The records of these keys, at most `limits.batchRecords`, as they are written down; undefined where there is none. */
  getAll(keys: readonly Key[]): Promise<readonly (string | undefined)[]>;
  /** Brings a key to its volumes, a good copy on each. Throws MkvError absent, and what stands in the way. */
  move(key: Key, how: { dryRun: boolean }): Promise<{ changed: boolean; leftBehind: number; bytes: number }>;
  /** Looks at a key, repairs what is wrong, and forgets it if it is unlinked and lost, if asked to. */
  heal(key: Key, how: Required<Pick<HealOptions, "depth" | "repair" | "forget" | "dryRun">>): Promise<Healed>;
  /** Looks at a file that the record of its key does not name, or that is staged of it. */
  orphan(key: Key, look: OrphanLook): Promise<OrphanSeen>;
  /** Takes a disk, or a volume with all its disks, for what it is now. */
  adopt(name: string): Promise<void>;
  recall(job: RememberedJob): Promise<JobMemory>;
  remember(job: RememberedJob, memory: JobMemory): Promise<void>;
};

/**
 * This process as the target.
 * @param options.bytesPerSecond how fast keys may be moved; 0 is no limit
 */
export function ownTarget(store: Store, { bytesPerSecond }: { bytesPerSecond: number }): JobTarget {
  const pace = paceOf(bytesPerSecond);
  return {
    scan: (after) => store.ledger.scan({ start: after && keyAfter(after) }),
    getAll: (keys) => Promise.all(keys.map((key) => recordText(store, key))),
    async move(key, { dryRun }) {
      const { leftBehind, ...moved } = await moveKey(store, key, { depth: "length", dryRun, pace });
      return { ...moved, leftBehind: leftBehind.length };
    },
    heal: (key, how) => healKey(store, key, how),
    orphan: (key, look) => lookAtOrphan(store, key, look),
    adopt: (name) => adoptPlace(store, name),
    recall: (job) => recallJob(store, job),
    remember: (job, told) => rememberJob(store.ledger.memory, job, told),
  };
}
