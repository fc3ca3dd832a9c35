// Owns what lies beside the record of a key, as it is written down.
//   entry := {"md5": hex, "attributes": {...}, "forward": {"record": text, "over": text, "bytes", "date", "attributes"}}   as JSON
// 1. Attributes are those of the value of this MD5: of a record with another one, or none, they say nothing.
// 2. A forward is the commit of a replacement (`store/replace.ts`): it holds until it is gone from here.
import { MkvError } from "../errors";
import { type ValueRecord, decodeRecord, encodeRecord, readRecord } from "../format/record";
import { type Attributes, type Forward, type Known, type KnownValue } from "./ledger";

/** What lies beside a record, as it is written down; nothing where nothing does. */
type FactsText = string | null | undefined;

type Facts = { readonly md5?: string; readonly attributes?: Attributes; readonly forward?: Forward };

type Written = Omit<Facts, "forward"> & {
  readonly forward?: Omit<Forward, "record"> & { readonly record: string };
};

/** What is to lie beside the record of this entry; undefined for nothing. */
export function writeFacts(before: FactsText, { record, attributes, forward }: KnownValue): string | undefined {
  const kept = attributes === undefined ? keptOf(readFacts(before), record) : attributesOf(attributes, record);
  const moving = forward && { ...forward, record: encodeRecord(forward.record) };
  if (!kept && !moving) return undefined;
  return JSON.stringify({ ...kept, ...(moving && { forward: moving }) } satisfies Written);
}

/** A record with what lies beside it, as far as that is of its value. Throws MkvError failed if that is damaged. */
export function knownOf(record: ValueRecord | undefined, facts: FactsText): KnownValue {
  const { md5, attributes, forward } = readFacts(facts);
  const isOfRecord = attributes !== undefined && record?.md5 !== undefined && record.md5 === md5;
  return { record, ...(isOfRecord && { attributes }), ...(forward && { forward }) };
}

/** Attributes and forward alone, of a record as it is written down, for a backup: one that is damaged has no attributes. */
export function extrasOf(record: string | undefined, facts: FactsText): Omit<KnownValue, "record"> {
  const { record: _, ...extras } = knownOf(readRecord(record), facts);
  return extras;
}

/** What is to lie beside the record of a key out of a backup; undefined for nothing. */
export function factsOfKnown({ record, attributes, forward }: Known): string | undefined {
  return writeFacts(undefined, { record: readRecord(record), attributes, forward });
}

/** Throws MkvError failed if it is damaged. */
function readFacts(text: FactsText): Facts {
  if (text === null || text === undefined) return {};
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

/** Over an unlinked value the record has no MD5 for a while, and gets it back if the write fails. */
function keptOf({ md5, attributes }: Facts, record: ValueRecord | undefined) {
  const isOther = !record || (record.md5 !== undefined && record.md5 !== md5);
  return attributes && md5 !== undefined && !isOther ? { md5, attributes } : undefined;
}

function attributesOf(attributes: Attributes, record: ValueRecord | undefined) {
  const md5 = record?.md5;
  return md5 !== undefined && Object.keys(attributes).length > 0 ? { md5, attributes } : undefined;
}
