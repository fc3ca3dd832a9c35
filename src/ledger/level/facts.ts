// Owns what lies beside the records of an index, in a LevelDB of its own, as `.indexdb.facts`: the Go program must still
// open the index, and knows nothing of it.
//   entry := {"md5": hex, "attributes": {...}, "forward": {"record": text, "bytes", "date", "attributes"}}   as JSON
// 1. Attributes are those of the value of this MD5: of a record with another one, or none, they say nothing.
// 2. A forward is the commit of a replacement (`store/replace.ts`): it holds until it is gone from here.
import { basename, dirname, join } from "node:path";
import { MkvError } from "../../errors";
import { type ValueRecord, decodeRecord, encodeRecord } from "../../format/record";
import { type Attributes, type Entry, type Forward } from "../ledger";
import { inspectIndex } from "./inspect";
import { type LevelIndex, openLevelIndex } from "./leveldb";

/** What lies beside a record. */
export type Facts = {
  readonly md5?: string;
  readonly attributes?: Attributes;
  readonly forward?: Forward;
};

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
  if (found.kind !== "damaged") return;
  const text = `${factsOf(index)} is damaged (${found.why}): nothing was changed. It holds types and metadata of objects`;
  throw new MkvError("failed", `${text}: restore it, or move it away to go on without them`);
}

type Written = Omit<Facts, "forward"> & {
  readonly forward?: Omit<Forward, "record"> & { readonly record: string };
};

/** An entry that is read. Throws MkvError failed if it is damaged. */
export function readFacts(text: string | undefined): Facts {
  if (text === undefined) return {};
  let written: Written;
  try {
    written = JSON.parse(text) as Written;
  } catch (error) {
    throw new MkvError("failed", `what lies beside the index is damaged (${text.slice(0, 80)}): restore it`, {
      cause: error,
    });
  }
  const { forward, ...rest } = written;
  return { ...rest, ...(forward && { forward: { ...forward, record: decodeRecord(forward.record) } }) };
}

/** What is to lie beside the record of this entry; undefined for nothing. */
export function writeFacts(before: Facts, { record, attributes, forward }: Entry): string | undefined {
  const kept = attributes === undefined ? keptOf(before, record) : attributesOf(attributes, record);
  const moving = forward && { ...forward, record: encodeRecord(forward.record) };
  if (!kept && !moving) return undefined;
  return JSON.stringify({ ...kept, ...(moving && { forward: moving }) } satisfies Written);
}

/** Over an unlinked value the record has no MD5 for a while, and gets it back if the write fails. */
function keptOf({ md5, attributes }: Facts, record: ValueRecord | undefined) {
  const isOther = !record || (record.md5 !== undefined && record.md5 !== md5);
  return attributes && md5 !== undefined && !isOther ? { md5, attributes } : undefined;
}

function attributesOf(attributes: Attributes, record: ValueRecord | undefined) {
  const md5 = record?.md5;
  return md5 !== undefined && Object.keys(attributes).length > 0 ? { md5, attributes } : undefined;
}
