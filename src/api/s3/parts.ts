// Owns the parts that an object was made of: their lengths are kept beside it, so that each can be read by its number.
//   parts := run ("," run)*      run := count "*" bytes
// Clients send parts of one length, and a shorter last one: two runs, however many parts. More than `s3Limits.partRuns` are
// not kept.
import { type SeenValue, type Value } from "../../store/read";
import { s3Limits } from "../../s3-limits";
import { partsName, tagName } from "./attributes";
import { type Wanted } from "./conditions";
import { S3Error, badArgument } from "./errors";
import { type S3Request, wholeNumber } from "./request";
import { nest, node } from "./xml";

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
  throw badArgument("partNumber", text, "Part number must be an integer between 1 and 10000, inclusive");
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
export function partOf(number: number, value: SeenValue): Wanted {
  const isInParts = value.attributes?.[tagName] !== undefined;
  const lengths = isInParts ? lengthsOf(value) : [value.bytes];
  if (!lengths) throw new S3Error("NotImplemented", "the parts differ too much in length to be read by number");
  const bytes = lengths[number - 1];
  if (bytes === undefined) {
    const fields = { ActualPartCount: lengths.length, PartNumberRequested: number };
    throw new S3Error("InvalidPartNumber", "The requested partnumber is not satisfiable", fields);
  }
  const from = lengths.slice(0, number - 1).reduce((sum, length) => sum + length, 0);
  return { range: { from, bytes }, isPart: bytes > 0, ...(isInParts && { count: lengths.length }) };
}

/** The lengths of the parts that an object was made of; undefined if they were not kept, or are damaged. */
function lengthsOf({ attributes = {} }: Value): number[] | undefined {
  const runs = attributes[partsName]?.split(",").map((run) => /^(\d{1,5})\*(\d{1,15})$/.exec(run)) ?? [];
  if (runs.length === 0 || runs.length > s3Limits.partRuns || !runs.every((run) => run !== null)) return undefined;
  return runs.flatMap(([, count, bytes]) => Array<number>(Number(count)).fill(Number(bytes)));
}

/** What GET ?attributes tells of the parts of an object, by pages; nothing for one that was put at once. */
export function partsNode(asked: S3Request, value: Value): string {
  const count = value.attributes?.[tagName]?.split("-")[1];
  if (count === undefined) return "";
  const [after = 0, most = s3Limits.pageKeys] = ["x-amz-part-number-marker", "x-amz-max-parts"].map((name) =>
    wholeNumber(name, asked.header(name)),
  );
  const lengths = lengthsOf(value) ?? [];
  const page = lengths.slice(after, after + Math.min(most, s3Limits.pageKeys));
  return nest(
    "ObjectParts",
    node("PartsCount", count),
    node("PartNumberMarker", after),
    node("NextPartNumberMarker", after + page.length),
    node("MaxParts", Math.min(most, s3Limits.pageKeys)),
    node("IsTruncated", String(page.length > 0 && after + page.length < lengths.length)),
    ...page.map((bytes, i) => nest("Part", node("PartNumber", after + i + 1), node("Size", bytes))),
  );
}
