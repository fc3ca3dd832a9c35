// Owns what deletes, moves and writes have left on volumes, as journals say that nobody acts upon any more: over an index in
// doubt no debt is paid. A rebuild does not take those files for values, if the index does not know the key, and they are older than
// the doubt, and than what the index may lack. That holds for later rebuilds, too, until one finds a value of the key.
//   "unpaid" -> {key in hex: {"volumes", "beforeMs"}}     in the memory beside the index; wall time
import { type Key } from "../../format/key";
import { readRecord } from "../../format/record";
import { union, volumesOf } from "../../format/volume";
import { shaped } from "../../shape";
import { type BareDebt, type Memory } from "../ledger";
import { type LevelIndex } from "./leveldb";
import { type Journals } from "./replay";

const name = "unpaid";

/** Where files of a key that are older than this, by the wall in milliseconds, are no values. */
type Left = { readonly volumes: readonly string[]; readonly beforeMs: number };

/** By the key in hex. */
export type Unpaid = ReadonlyMap<string, Left>;

export async function unpaidIn(memory: Memory): Promise<Unpaid> {
  const shape = { "*": { volumes: [""], beforeMs: 0 } };
  return new Map(Object.entries(shaped<Record<string, Left>>(await memory.get(name), shape) ?? {}));
}

/** Remembers what these journals owe, and what was remembered before. */
export async function rememberUnpaid(memory: Memory, { lines }: Journals): Promise<Unpaid> {
  const unpaid = new Map(await unpaidIn(memory));
  let isNews = false;
  for (const [hex, { record, owed }] of lines) {
    const { volumes: before = [] } = unpaid.get(hex) ?? {};
    const named = readRecord(record)?.volumes; // What a write under way has in flight may be of a value by now.
    const isLeft = ({ kind, volume }: BareDebt) => kind !== "in-flight" || named?.includes(volume) === false;
    const volumes = union(before, volumesOf(owed.filter((debt) => debt.kind !== "staged" && isLeft(debt))));
    if (volumes.length === before.length) continue;
    unpaid.set(hex, { volumes, beforeMs: Date.now() });
    isNews = true;
  }
  if (isNews) await memory.put(name, Object.fromEntries(unpaid));
  return unpaid;
}

/** Forgets what was left of keys that a new index knows. */
export async function forgetKnown(memory: Memory, unpaid: Unpaid, next: LevelIndex): Promise<void> {
  const left = [...unpaid].filter(([hex]) => next.getText(Uint8Array.fromHex(hex) as Uint8Array as Key) === undefined);
  if (left.length < unpaid.size) await memory.put(name, Object.fromEntries(left));
}
