// Owns which disks are to be filled (`refill.ts`).
//   "refill " place " " id -> true          in the ledger's memory, from before the id is believed until the disk is filled
import { type Ledger } from "../ledger/ledger";

/** Under which names it is remembered what is to be filled. */
export const refillPrefix = "refill ";

/** Has a disk filled that says so of itself from now on. */
export async function wantRefill({ memory }: Pick<Ledger, "memory">, place: string, id: string): Promise<void> {
  await memory.put(`${refillPrefix}${place} ${id}`, true);
}
