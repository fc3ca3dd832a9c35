// Owns what lies beside the record of a key, as it is written down.
//   entry := {"md5": hex, "attributes": {...}, "forward": {"record": text, "over": text, "bytes", "date", "attributes"}}   as JSON
// 1. Attributes are those of the value of this MD5: of a record with another one, or none, they say nothing.
// 2. A forward is the commit of a replacement (`store/replace.ts`): it holds until it is gone from here.
import { MkvError } from "../errors";
import { type Key, showKey } from "../format/key";
import { type ValueRecord, encodeRecord, readRecord } from "../format/record";
import { warn } from "../log";
import { parsed, shaped } from "../shape";
import { type Attributes, type BareDebt, type Forward, type Known, type KnownValue } from "./ledger";

/** What lies beside a record, as it is written down; nothing where nothing does. */
type FactsText = string | null | undefined;

type Facts = { readonly md5?: string; readonly attributes?: Attributes; readonly forward?: Forward };

type Written = Omit<Facts, "forward"> & {
  readonly forward?: Omit<Forward, "record"> & { readonly record: string };
};

type Beside<D = BareDebt> = { readonly facts: FactsText; readonly owed: readonly D[] };
type Owing<D = BareDebt> = KnownValue & { readonly owed: readonly D[] };

/** What is to lie beside the record of this entry; undefined for nothing. What is damaged stays so until the value is another. */
export function writeFacts(before: FactsText, { record, attributes, forward, owed }: Owing): string | undefined {
  const facts = attributes === undefined ? readFacts(before) : {};
  if (!facts && record && !forward && !hasStaged(owed)) return before!;
  const kept = attributes === undefined ? facts && keptOf(facts, record) : attributesOf(attributes, record);
  const moving = forward && { ...forward, record: encodeRecord(forward.record) };
  if (!kept && !moving) return undefined;
  return JSON.stringify({ ...kept, ...(moving && { forward: moving }) } satisfies Written);
}

/** A record with what lies beside it, as far as that is of its value. Throws MkvError corrupt if that is damaged. */
export function knownOf(key: Key, record: ValueRecord | undefined, text: FactsText): KnownValue {
  const facts = readFacts(text);
  if (!facts) {
    const what = `what lies beside the record of ${JSON.stringify(showKey(key))} is damaged`;
    throw new MkvError("corrupt", `${what} (${JSON.stringify(text?.slice(0, 80))}): DELETE the key, or PUT it again`);
  }
  return valueOf(record, facts);
}

function valueOf(record: ValueRecord | undefined, { md5, attributes, forward }: Facts): KnownValue {
  const isOfRecord = attributes !== undefined && record?.md5 !== undefined && record.md5 === md5;
  return { record, ...(isOfRecord && { attributes }), ...(forward && { forward }) };
}

/** The same for whoever may change the key: what is damaged is nothing, unless it may be the commit of what lies staged. */
export function entryOf<D extends BareDebt>(key: Key, record: ValueRecord | undefined, beside: Beside<D>): Owing<D> {
  const { facts, owed } = beside;
  if (hasStaged(owed)) return { ...knownOf(key, record, facts), owed };
  return { ...valueOf(record, readFacts(facts) ?? {}), owed };
}

function hasStaged(owed: readonly BareDebt[]): boolean {
  return owed.some(({ kind }) => kind === "staged");
}

/** All that is known of a key, for a backup: what is damaged beside its record is left out, with a word. */
export function dumpOf(key: Key, record: string | undefined, beside: Beside): Known {
  const entry = entryOf(key, readRecord(record), beside);
  if (!readFacts(beside.facts))
    warn(`${JSON.stringify(showKey(key))}: its type and metadata are damaged, and left out`);
  return { ...entry, key, record };
}

/** What is to lie beside the record of a key out of a backup; undefined for nothing. */
export function factsOfKnown({ record, ...known }: Known): string | undefined {
  return writeFacts(undefined, { ...known, record: readRecord(record) });
}

/** Whether what is to lie beside the record of a key out of a backup could be read again. */
export function isReadable(known: Known): boolean {
  return readFacts(factsOfKnown(known)) !== undefined;
}

const shape = {
  ...{ "md5?": "", "attributes?": { "*": "" } },
  "forward?": { record: "", "over?": "", bytes: 0, date: "", attributes: { "*": "" } },
};

/** Undefined if it is damaged. */
function readFacts(text: FactsText): Facts | undefined {
  if (text === null || text === undefined) return {};
  const written = shaped<Written>(parsed(text), shape);
  if (!written || !areHeaders(written.attributes) || !areHeaders(written.forward?.attributes)) return undefined;
  const { forward, ...rest } = written;
  if (!forward) return rest;
  const record = readRecord(forward.record);
  return record && { ...rest, forward: { ...forward, record } };
}

/** Names and values go out as headers. */
function areHeaders(attributes: Attributes = {}): boolean {
  for (const name in attributes)
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || !/^[\t -~\x80-\xff]*$/.test(attributes[name]!)) return false;
  return true;
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
