// Owns what unfinished work has left on volumes, as journals say that nobody acts upon any more: over an index in doubt no debt
// is paid. A rebuild does not take those files for values, if the index does not know the key, and they are older than what
// it may lack. That holds for later rebuilds, too: the files stay until somebody removes them.
//   "unpaid" -> {key in hex: [volume, ...]}     in the memory beside the index
import { union, volumesOf } from "../../format/volume";
import { shaped } from "../../shape";
import { type Memory } from "../ledger";
import { type Journals } from "./replay";

const name = "unpaid";

/** By the key in hex, on these volumes. */
export type Unpaid = ReadonlyMap<string, readonly string[]>;

export async function unpaidIn(memory: Memory): Promise<Unpaid> {
  return new Map(Object.entries(shaped<Record<string, string[]>>(await memory.get(name), { "*": [""] }) ?? {}));
}

/** Remembers what these journals owe, and what was remembered before. */
export async function rememberUnpaid(memory: Memory, { lines }: Journals): Promise<Unpaid> {
  const unpaid = new Map(await unpaidIn(memory));
  let isNews = false;
  for (const [hex, { owed }] of lines) {
    const before = unpaid.get(hex) ?? [];
    const volumes = union(before, volumesOf(owed.filter(({ kind }) => kind !== "staged")));
    if (volumes.length === before.length) continue;
    unpaid.set(hex, volumes);
    isNews = true;
  }
  if (isNews) await memory.put(name, Object.fromEntries(unpaid));
  return unpaid;
}
