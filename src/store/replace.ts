// Owns the commit of a write over a live value. Readers see the old value or the new one, whole.
// 1. The claim: the journal owes the staged files. Until 3 a crash, or any failure, leaves the old value as it was; the next
//    start removes what was staged.
// 2. The body goes to `/staged/...` on the disks where it belongs, as `transfer.ts` says, and to the disk where it can: the
//    old value is not given up for one that a power cut could take.
// 3. The ledger says "forward to this record": the commit. After a crash the next start goes on.
// 4. Each volume moves its file to its place: see `forward.ts`.
// 5. The record; the copies of the old value elsewhere are owed, and removed.
import { MkvError } from "../errors";
import { encodeRecord } from "../format/record";
import { type Claim, type Entry } from "../ledger/ledger";
import { limits } from "../limits";
import { cleanUp, cleanUpCommitted } from "./cleanup";
import { landed, owe } from "./debts";
import { moveStaged, notYet, stagedPathOf } from "./forward";
import { type Store } from "./store";
import { Transfer, type Transferred, type Write } from "./transfer";

/** The entry with staged files about to be written to these volumes. */
export function staging(entry: Entry, volumes: readonly string[]): Entry {
  const { record, owed } = entry;
  return { record, owed: owe(owed, volumes, { kind: "staged", forMs: limits.fenceOverMs }) };
}

/** A write over a live value. Throws MkvError as `put` does; unavailable, too, if it was committed, and goes on later. */
export async function replace(store: Store, claim: Claim, write: Write): Promise<Transferred> {
  const require = (volumes: readonly string[]) => requireMove(store, volumes, "may be unknown");
  const way = { ...write, path: stagedPathOf(claim.key), owing: staging, require, durable: true as const };
  const transfer = new Transfer(store, claim, way);
  let stored: Transferred;
  try {
    stored = await transfer.run(); // 2.
    const { volumes, bytes, md5, date } = stored;
    requireMove(store, volumes, "is known"); // All of them have been asked by now.
    const { record, owed } = claim.entry;
    const attributes = write.value.attributes?.(stored) ?? {};
    const forward = {
      record: { state: "live" as const, md5: store.md5sum ? md5 : undefined, volumes },
      ...{ over: encodeRecord(record!), bytes, date, attributes },
    };
    await claim.put({ record, owed: landed(store, owed, transfer.written()), forward }, { sync: true }); // 3. The commit.
  } catch (error) {
    const { record, owed, forward } = claim.entry;
    if (!forward) await claim.put({ record, owed: landed(store, owed, transfer.written()) });
    await cleanUp(store, claim);
    throw error;
  }
  const { late, moved } = await moveStaged(store, claim, { isFresh: true }); // 4, and the record of 5.
  if (late.size > 0) throw notYet("the value is being replaced, which goes on when this is over", late);
  if (moved < store.minreplicas)
    throw new MkvError(
      "unavailable",
      `${moved} volumes still had the new value when it was to take its place: send it again`,
    );
  if (claim.entry.owed.length > 0) await cleanUpCommitted(store, claim); // 5.
  return stored;
}

/** Throws MkvError unsupported if one of these volumes has no MOVE: the fence and it came together. */
function requireMove({ volumes }: Store, names: readonly string[], fence: "may be unknown" | "is known"): void {
  const unfit = names.find((volume) => !(volumes.health.isFenced(volume) ?? fence === "may be unknown"));
  if (unfit === undefined) return;
  const how = `start it with mkv's own script, as in "mkv volume DIR" or ./volume DIR`;
  throw new MkvError("unsupported", `${unfit} cannot replace a value, since it does not know MOVE: ${how}`);
}
