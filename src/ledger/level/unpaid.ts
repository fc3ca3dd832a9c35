// Owns what deletes and writes have left on volumes, as journals say that nobody acts upon any more: over an index in doubt no
// debt is paid. A rebuild does not take those files for values, if they are older than what the index may lack.
//   "unpaid" -> {key in hex: [volume, ...]}     in the memory beside the index, until a new one takes its place
import { volumesOf } from "../../format/volume";
import { shaped } from "../../shape";
import { type Memory } from "../ledger";
import { type Journals } from "./replay";

const name = "unpaid";

/** Left-overs by the key in hex, on these volumes. */
export type Unpaid = ReadonlyMap<string, readonly string[]>;

export async function unpaidIn(memory: Memory): Promise<Unpaid> {
  return new Map(Object.entries(shaped<Record<string, string[]>>(await memory.get(name), { "*": [""] }) ?? {}));
}

/** Remembers the left-overs of these journals, and those that were remembered before. */
export async function rememberUnpaid(memory: Memory, { lines }: Journals): Promise<Unpaid> {
  const unpaid = new Map(await unpaidIn(memory));
  const before = unpaid.size;
  for (const [hex, { owed }] of lines) {
    const volumes = volumesOf(owed.filter(({ kind }) => kind === "left-over"));
    if (volumes.length > 0) unpaid.set(hex, [...new Set([...(unpaid.get(hex) ?? []), ...volumes])]);
  }
  if (unpaid.size > before) await memory.put(name, Object.fromEntries(unpaid));
  return unpaid;
}

export async function forgetUnpaid(memory: Memory): Promise<void> {
  await memory.delete(name);
}
