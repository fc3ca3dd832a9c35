// Owns the adoption of a place: a disk is taken for what it is now, and filled (`care/mend.ts`).
//   "refill " place " " id -> true          in the ledger's memory, from before the id is believed until the disk is filled
import { MkvError } from "../errors";
import { isConfigured } from "../format/volume";
import { type Ledger, entriesOf } from "../ledger/ledger";
import { adopt } from "../volumes/identity";
import { type Volumes } from "../volumes/volumes";
import { sameIdWarning } from "../volumes/warnings";
import { forgetBegun } from "./job-memory";
import { idPrefix } from "./places/ids";
import { forgetEmptied, rememberPutBack } from "./places/put-back";

/** Under which name it is remembered what is to be filled. */
export const refillPrefix = "refill ";

/**
 * Takes a disk, or a volume with all its disks, for what it is now: it was replaced.
 * @throws MkvError bad-request (not one of the store's), unavailable, volume-failed
 */
export async function adoptPlace(
  { volumes, ledger }: { volumes: Volumes; ledger: Pick<Ledger, "memory"> },
  name: string,
): Promise<void> {
  const { memory } = ledger;
  await adopt(volumes, name, async (place, id, { hasFiles }) => {
    for await (const [entry, known] of entriesOf(memory, idPrefix)) {
      const other = entry.slice(idPrefix.length);
      if (known !== id || other === place || !isConfigured(volumes.topology, other)) continue;
      const hadOwn = typeof (await memory.get(idPrefix + place)) === "string";
      if (hadOwn) throw new MkvError("failed", `${place} ${sameIdWarning(place, other)}`);
      throw new MkvError("failed", `${place} and ${other} are the same place: name each volume once in -volumes`);
    }
    if (!hasFiles) await forgetEmptied(memory, place);
    else if ((await memory.get(idPrefix + place)) !== id) {
      volumes.setPutBack(place, true); // Before it is read.
      await rememberPutBack(memory, place, { isEarlier: false });
    }
    await memory.put(`${refillPrefix}${place} ${id}`, true); // First: after a crash it is adopted again, or filled.
    await memory.put(idPrefix + place, id);
  });
  await forgetBegun(memory); // What a job has seen on the disk is not there any more.
}
