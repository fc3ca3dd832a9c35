// Owns the parts that an object was made of: their lengths are kept beside it, so that each can be read by its number.
//   parts := run ("," run)*      run := count "*" bytes
// Clients send parts of one length, and a shorter last one: two runs, however many parts. More than `s3Limits.partRuns` are
// not kept.
import { type SeenValue } from "../../store/read";
import { s3Limits } from "../../s3-limits";
import { type ByteRange } from "../../volumes/read";
import { partsName, tagName } from "./attributes";
import { type Wanted } from "./conditions";
import { S3Error } from "./errors";
import { type S3Request } from "./request";

/** The lengths of these parts as an attribute; none if they differ too much. */
export function partsAttribute(lengths: readonly number[]): Record<string, string> {
  const runs: { count: number; bytes: number }[] = [];
  for (const bytes of lengths) {
    const last = runs.at(-1);
    if (last?.bytes === bytes) last.count++;
    else if (runs.length === s3Limits.partRuns) return {};
    else runs.push({ count: 1, bytes });
  }
  return { [partsName]: runs.map(({ count, bytes }) => `${count}*${bytes}`).join(",") };
}

/** The part number of a request. Throws S3Error InvalidArgument. */
export function partNumberOf({ query }: S3Request): number {
  const text = query("partNumber") ?? "";
  if (/^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= s3Limits.parts) return Number(text);
  throw new S3Error("InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive");
}

/** The number of the part that a read is of; undefined without one. Throws S3Error InvalidArgument, InvalidRequest. */
export function partRead(asked: S3Request): number | undefined {
  if (asked.query("partNumber") === undefined) return undefined;
  if (asked.header("range") !== undefined)
    throw new S3Error("InvalidRequest", "Cannot specify both Range header and partNumber query parameter");
  return partNumberOf(asked);
}

/**
 * The part of this number, counted from 1 in the order of the parts. An object that was put at once is its only part; of no
 * bytes at all there is no Content-Range.
 * @throws S3Error InvalidPartNumber, NotImplemented (the lengths were not kept)
 */
export function partOf(number: number, { bytes, attributes = {} }: SeenValue): Wanted {
  if (attributes[tagName] === undefined) {
    if (number !== 1) throw noSuchPart();
    return { range: { from: 0, bytes }, isPart: bytes > 0 };
  }
  const text = attributes[partsName];
  if (text === undefined)
    throw new S3Error("NotImplemented", "the parts differ too much in length to be read by number");
  let [count, from, range]: [number, number, ByteRange | undefined] = [0, 0, undefined];
  for (const run of text.split(",")) {
    const [ofRun, each] = run.split("*", 2).map(Number) as [number, number];
    if (number > count && number <= count + ofRun) range = { from: from + (number - count - 1) * each, bytes: each };
    count += ofRun;
    from += ofRun * each;
  }
  if (!range) throw noSuchPart();
  return { range, isPart: range.bytes > 0, count };
}

function noSuchPart(): S3Error {
  return new S3Error("InvalidPartNumber", "The requested partnumber is not satisfiable");
}
