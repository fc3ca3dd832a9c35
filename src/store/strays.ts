// Owns the way back to copies that a move has left behind, where those that it made are lost or damaged: after a loss of
// power, as long as the old ones stay for that.
import { MkvError } from "../errors";
import { type ValueRecord } from "../format/record";
import { union, without } from "../format/volume";
import { type Claim } from "../ledger/ledger";
import { type Inspected, inspectCopies, volumesIn } from "./copies";
import { straysIn } from "./debts";
import { type Store } from "./store";

/** A record, and its copies as they were seen. */
export type Beheld = { readonly record: ValueRecord; readonly seen: Inspected };

/**
 * The record and its copies as they are; where none of these is the value and strays are, with the strays, which the record
 * names from then on.
 * @throws MkvError unavailable (a stray that may be the only good copy cannot be asked), failed (it is a place of the record
 * under another name); what the ledger throws
 */
export async function withStrays(
  { volumes, ledger, places, currentName }: Store,
  claim: Claim,
  { seen, dryRun }: { seen: Inspected; dryRun: boolean },
): Promise<Beheld> {
  const record = claim.entry.record!;
  const isLost = seen.md5 !== record.md5 || volumesIn(seen, "good").length === 0;
  if (!isLost || record.md5 === undefined) return { record, seen };
  const strays = without(straysIn(await ledger.owedBy(claim.key)).map(currentName), record.volumes);
  if (strays.length === 0) return { record, seen };
  const left = await inspectCopies(volumes, claim.key, { ...record, volumes: strays }, { depth: "md5" });
  const good = left.md5 === record.md5 ? volumesIn(left, "good") : [];
  const unknown = left.copies.find(({ state }) => state === "unknown");
  if (good.length === 0 && unknown)
    throw new MkvError("unavailable", `an old copy may be the only good one: ${unknown.print}`);
  if (good.length === 0) return { record, seen };
  await places.requireDistinct(good, record.volumes);
  const both = { ...record, volumes: union(record.volumes, good) };
  if (!dryRun) await claim.put({ record: both, owed: claim.entry.owed });
  return { record: both, seen: await inspectCopies(volumes, claim.key, both, { depth: "md5" }) };
}
