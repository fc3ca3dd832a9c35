// Owns what lies beside the records of an index, in a LevelDB of its own, as `.indexdb.facts`: the Go program must still
// open the index, and knows nothing of it. `ledger/facts.ts` says what an entry is.
import { basename, dirname, join } from "node:path";
import { MkvError } from "../../errors";
import { inspectIndex } from "./inspect";
import { type LevelIndex, openLevelIndex } from "./leveldb";

/** The folder of what lies beside the records of this index; its name begins with a dot, as that of `beside.ts`. */
export function factsOf(index: string): string {
  return join(dirname(index), `.${basename(index)}.facts`);
}

/** Opens it, for one thread of several. Throws MkvError failed. */
export async function openFacts(
  index: string,
  options: { sync: boolean; onBroken?: (error: MkvError) => void },
): Promise<LevelIndex> {
  return await openLevelIndex(factsOf(index), { ...options, make: true });
}

/** Throws MkvError failed if it is damaged: opening it would make an empty one of it. */
export function requireWholeFacts(index: string): void {
  const found = inspectIndex(factsOf(index));
  if (!("why" in found)) return;
  const text = `${factsOf(index)} is damaged (${found.why}): nothing was changed. It holds types and metadata of objects`;
  throw new MkvError("failed", `${text}: restore it, or move it away to go on without them`);
}
