// Owns what is remembered of orphans: since when each is known.
import { bootId, sinceBootMs } from "../boot";
import { type Memory } from "../ledger/ledger";
import { limits } from "../limits";
import { type FileInfo } from "../volumes/read";

/**
 * For how long a file has been known as an orphan, in milliseconds; from now on, if it was not, or another one lay there.
 * Counted anew at each boot.
 */
export async function ageOf(
  memory: Memory,
  file: string,
  { bytes, modified, remember }: FileInfo & { remember: boolean },
): Promise<number> {
  const boot = bootId();
  const seen = (await memory.get(nameOf(file))) as OrphanMemory | undefined;
  if (seen?.boot === boot && seen.bytes === bytes && seen.modified === modified) return sinceBootMs() - seen.atMs;
  if (!remember) return 0;
  const count = await countOf(memory);
  if (!seen && count >= limits.orphans) return 0; // No room: it stays young.
  if (!seen) await memory.put(countName, { boot, count: count + 1 });
  await memory.put(nameOf(file), { boot, atMs: sinceBootMs(), bytes, modified } satisfies OrphanMemory);
  return 0;
}

/** Forgets what was removed. */
export async function forgetOrphan(memory: Memory, file: string): Promise<void> {
  await memory.delete(nameOf(file));
  await memory.put(countName, { boot: bootId(), count: Math.max(0, (await countOf(memory)) - 1) });
}

/** How many orphans are remembered, about: threads may count at once. */
async function countOf(memory: Memory): Promise<number> {
  const counted = (await memory.get(countName)) as { boot: string; count: number } | undefined;
  return counted?.boot === bootId() ? counted.count : 0;
}

const countName = "orphans";

/** What is remembered of an orphan: since when it is known, and which file it is. */
export type OrphanMemory = FileInfo & { readonly boot: string; readonly atMs: number };

/** Under which name an orphan is remembered. */
export const orphanPrefix = "orphan ";

function nameOf(file: string): string {
  return orphanPrefix + file;
}
