// Owns the look at one key against its volumes, under one claim, and its repair if asked for.
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { place } from "../format/placement";
import { type ValueRecord } from "../format/record";
import { sameVolumes } from "../format/volume";
import { type Volumes } from "../volumes/volumes";
import { type Depth, type Inspected, inspectCopies, volumesIn } from "./copies";
import { asItIs, claimKey } from "./forward";
import { type MoveOptions, bringHome } from "./move";
import { type Pace } from "./pace";
import { type Store } from "./store";

/** `missing`, `damaged` and `unknown` (its volume does not answer) are copies; the others are keys. */
export type Problem = "missing" | "damaged" | "unknown" | "misplaced" | "unfinished";

/** One thing that is wrong with a key, in a line for people. */
export type Finding = { readonly problem: Problem; readonly line: string };

/** What was seen of a key, and what came of the repair. */
export type Healed = {
  readonly findings: readonly Finding[];
  readonly isRepaired: boolean;
  readonly failure?: string;
  /** Bytes of the copies that the repair made. */
  readonly bytes?: number;
};

/** How a key is looked at and repaired. */
export type HealOptions = {
  readonly depth: Depth;
  readonly repair?: boolean;
  /** Whether it is only found out what a repair would do. */
  readonly dryRun?: boolean;
  /** Whether an unlinked key without any copy is forgotten. */
  readonly forget?: boolean;
  /** How a key with this record is brought home, if not as `depth` says and to where it belongs. */
  readonly move?: (record: ValueRecord) => MoveOptions;
  /** Called while the key is still claimed, if there is nothing to repair. */
  readonly onWhole?: () => Promise<void>;
};

/**
 * Looks at a key while nobody changes it, and repairs what is wrong if asked to.
 * @throws MkvError busy; corrupt (its record is damaged); what `onWhole` throws
 */
export async function healKey(
  store: Store,
  key: Key,
  { depth, repair = false, dryRun = false, forget = false, move = () => ({ depth }), onWhole }: HealOptions,
): Promise<Healed> {
  await using claim = await claimKey(store, key, asItIs, { dryRun, sends: repair ? "streams" : "short" });
  const { record, owed } = claim.entry;
  if (!record) {
    await onWhole?.();
    return { findings: [], isRepaired: false };
  }
  const { targets = place(key, store.topology), ...how } = move(record);
  const seen = await inspectCopies(store.volumes, key, record, { depth, pace: how.pace });
  const findings = findingsOf(record, seen, targets);
  const isUnfinished = findings.some(({ problem }) => problem === "unfinished");
  if (findings.length === 0 || isUnfinished) await onWhole?.();
  if (findings.length === 0 || !(isUnfinished ? forget && store.ledger.age !== "older" : repair))
    return { findings, isRepaired: false };
  try {
    const { bytes } = isUnfinished ? { bytes: 0 } : await bringHome(store, claim, seen, { ...how, dryRun, targets });
    if (isUnfinished && !dryRun) await claim.end({ record: undefined, owed });
    return { findings, isRepaired: true, bytes };
  } catch (error) {
    if (!(error instanceof MkvError) || error.code === "busy") throw error;
    return { findings, isRepaired: false, failure: error.message };
  }
}

/**
 * Looks at a key without a claim: what is found may be on its way.
 * @param look.targets where its copies are to be; where it belongs, unless something else is said
 */
export async function findProblems(
  volumes: Volumes,
  key: Key,
  record: ValueRecord,
  look: { depth: Depth; pace?: Pace; targets?: readonly string[] },
): Promise<Finding[]> {
  const { targets = place(key, volumes.topology) } = look;
  return findingsOf(record, await inspectCopies(volumes, key, record, look), targets);
}

function findingsOf(record: ValueRecord, seen: Inspected, targets: readonly string[]): Finding[] {
  if (record.state === "unlinked" && volumesIn(seen, "missing").length === record.volumes.length) {
    return [{ problem: "unfinished", line: "unlinked, and no volume has it: left by an unfinished write or delete" }];
  }
  const what = seen.depth === "md5" ? "MD5" : "length";
  const right = seen.copies.find(({ state }) => state === "good")?.print ?? record.md5 ?? "that of the others";
  const found = seen.copies.flatMap(({ volume, state, print }): Finding[] => {
    if (state === "missing") return [{ problem: "missing", line: `${volume} has no copy` }];
    if (state === "empty") return [{ problem: "damaged", line: `${volume} has an empty copy` }];
    if (state === "unknown") return [{ problem: "unknown", line: print }];
    if (state === "good") return [];
    return [{ problem: "damaged", line: `${volume} has a copy of ${what} ${print}, not ${right}` }];
  });
  if (seen.md5 !== undefined && record.md5 !== undefined && seen.md5 !== record.md5) {
    found.push({ problem: "damaged", line: `its record has MD5 ${record.md5}, its copies agree in ${seen.md5}` });
  }
  if (!sameVolumes(record.volumes, targets)) {
    found.push({ problem: "misplaced", line: `is on ${record.volumes.join(",")}, not where it belongs` });
  }
  return found;
}
