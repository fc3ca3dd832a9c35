// Owns what volumes have staged that were late for the end of a replacement, which others have moved meanwhile (`forward.ts`).
// Where the recorded copies are not all whole any more, such a file may be the last good one: if it is the recorded value, by
// its MD5, it takes its place, and the record names its volume.
import { nowMs } from "../clock";
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { type Claim } from "../ledger/ledger";
import { type Volumes } from "../volumes/volumes";
import { inspectCopies, isWhole } from "./copies";
import { md5Of } from "./copy";
import { stagedPathOf } from "./forward";
import { type Store } from "./store";
import { union } from "./volume-lists";

/** Moves what is staged of the recorded value of a claimed key, if it is needed. Throws MkvError if the ledger fails. */
export async function moveLate(store: Store, claim: Claim): Promise<void> {
  const { record, owed, forward } = claim.entry;
  if (forward || record?.state !== "live" || record.md5 === undefined) return;
  const volumes = store.volumes.within(claim);
  const today = (volume: string) => store.renamed.get(volume) ?? volume;
  const late = owed
    .filter(({ kind, untilMs }) => kind === "staged" && untilMs <= nowMs())
    .map(({ volume }) => today(volume))
    .filter((volume) => volumes.isSettled(volume));
  if (late.length === 0) return;
  if (isWhole(await inspectCopies(volumes, claim.key, record, { depth: "length" }))) return;
  const moved: string[] = [];
  for (const volume of late) if (await moveIfSame(volumes, claim.key, { volume, md5: record.md5 })) moved.push(volume);
  if (moved.length === 0) return;
  const named = union(record.volumes.map(today), moved);
  await claim.put({ record: { ...record, volumes: named }, owed }, { sync: true });
  await store.hints.add(claim.key, { why: "missing" });
}

/** Moves what is staged on a volume to its place if it has this MD5; returns whether it has. What cannot be read or moved stays. */
export async function moveIfSame(
  volumes: Volumes,
  key: Key,
  { volume, md5 }: { volume: string; md5: string },
): Promise<boolean> {
  const from = stagedPathOf(key);
  try {
    const sync = volumes.settings.sync || (await volumes.hasSync(volume));
    return (
      (await md5Of(volumes, volume, from)) === md5 && (await volumes.move(volume, { from, to: pathOf(key), sync }))
    );
  } catch (error) {
    if (error instanceof MkvError) return false;
    throw error;
  }
}
