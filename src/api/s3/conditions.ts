// Owns conditions: whether what is there is what the client expects (RFC 9110, section 13), and which bytes it wants.
import { type SeenValue } from "../../store/read";
import { type Permit } from "../../store/store";
import { type ByteRange } from "../../volumes/read";
import { etagOf } from "./attributes";
import { S3Error } from "./errors";
import { notImplemented } from "./questions";
import { type S3Request, isTag, namesTag, objectOf } from "./request";

/** What a read is answered with: 206, if `isPart`. `count` is of the parts of the object, for one that is read by number. */
export type Wanted = { readonly range: ByteRange; readonly isPart: boolean; readonly count?: number };

type Header = (name: string) => string | undefined;

/** Whether a read has nothing new for the client: 304. Throws S3Error PreconditionFailed. */
export function isUnchanged(header: Header, value: SeenValue): boolean {
  const name = failing(header, value);
  if (name === "If-Match" || name === "If-Unmodified-Since") throw failedCondition(name);
  return name !== undefined;
}

/** Throws S3Error PreconditionFailed if the source of a copy is not what is expected. */
export function requireSource({ header }: S3Request, value: SeenValue): void {
  const name = failing((name) => header(`x-amz-copy-source-${name}`), value);
  if (name) throw failedCondition(`x-amz-copy-source-${name}`);
}

/** The first condition that does not hold, by its name. What is no date says nothing, nor does one that is to come. */
function failing(header: Header, value: SeenValue) {
  const [etag, modified] = [etagOf(value), Date.parse(value.modified)];
  const [match, noneMatch] = [header("if-match"), header("if-none-match")];
  const since = Date.parse(header("if-modified-since") ?? "");
  if (match !== undefined && !namesTag(match, etag)) return "If-Match";
  if (match === undefined && modified > Date.parse(header("if-unmodified-since") ?? "")) return "If-Unmodified-Since";
  if (noneMatch !== undefined) return namesTag(noneMatch, etag) ? "If-None-Match" : undefined;
  // The date of an object that is written often runs ahead of the clock.
  return modified === since || (modified < since && since <= Date.now()) ? "If-Modified-Since" : undefined;
}

/**
 * What a write demands of what is there: throws S3Error NoSuchKey, PreconditionFailed. Undefined for nothing.
 * @throws S3Error NotImplemented for a condition that is none of a write
 */
export function permitOf({ header, key, bucket }: S3Request): Permit | undefined {
  for (const name of ["if-modified-since", "if-unmodified-since"])
    if (header(name) !== undefined) throw notImplemented(`${name} of a write`);
  const [match, noneMatch] = [header("if-match"), header("if-none-match")];
  if (noneMatch !== undefined && noneMatch.trim() !== "*")
    throw new S3Error("NotImplemented", "of a write, If-None-Match is * or nothing");
  const permitTag = match === undefined ? undefined : permitOfTag(match, objectOf(key!, bucket));
  if (noneMatch === undefined) return permitTag;
  return (before) => {
    if (before.record?.state === "live") throw failedCondition("If-None-Match");
    permitTag?.(before);
  };
}

/** Demands one of these entity tags, or that anything is there, of the object of this name. */
export function permitOfTag(match: string, name: string): Permit {
  return ({ record, attributes }) => {
    if (record?.state !== "live")
      throw new S3Error("NoSuchKey", "there is no such object, which If-Match asks for", { Key: name });
    if (!namesTag(match, etagOf({ record, attributes }))) throw failedCondition("If-Match");
  };
}

function failedCondition(name: string): S3Error {
  return new S3Error("PreconditionFailed", "At least one of the pre-conditions you specified did not hold", {
    Condition: name,
  });
}

/** The bytes that a Range header wants; all of them without one, with several ranges, or where If-Range does not hold. */
export function rangeOf({ header }: S3Request, value: SeenValue): Wanted {
  const { bytes, modified } = value;
  const all = { range: { from: 0, bytes }, isPart: false };
  const [text, condition] = [header("range"), header("if-range")];
  const isOff = condition !== undefined && condition !== modified && !isTag(condition, etagOf(value));
  const match = isOff ? null : /^bytes=(\d*)-(\d*)$/.exec((text ?? "").replaceAll(" ", ""));
  if (!match || (match[1] === "" && match[2] === "")) return all;
  const [first, last] = [match[1], match[2]].map((digits) => (digits === "" ? undefined : Number(digits)));
  const from = first ?? Math.max(0, bytes - last!);
  const to = first === undefined ? bytes - 1 : Math.min(last ?? bytes - 1, bytes - 1);
  if (first !== undefined && last !== undefined && last < first) return all;
  if (from >= bytes || (first === undefined && last === 0)) {
    const fields = { RangeRequested: text, ActualObjectSize: bytes }; // smart_open reads an empty object by it.
    const headers = { "content-range": `bytes */${bytes}` };
    throw new S3Error("InvalidRange", "The requested range is not satisfiable", fields, headers);
  }
  return { range: { from, bytes: to - from + 1 }, isPart: true };
}
