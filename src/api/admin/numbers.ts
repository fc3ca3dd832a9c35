// Owns the reading of what was counted: sums, times that so many requests did not exceed, and what the page draws of a moment
// of the last hour.
import { type Measured, type Series } from "../../metrics";
import { type VolumeReport } from "../../volumes/report";
import { bytesFree, roomOf } from "./look";

const isRead: Which = (operation) => operation === "get" || operation === "head";
const isWrite: Which = (operation) => operation === "put";
const isDelete: Which = (operation) => operation === "delete" || operation === "unlink";
const isFailure: Which = (_, status) => Number(status) >= 500;

/** What happened between two readings of the metrics: rates a second, times in seconds; and what there was then. */
export function sampleOf(
  before: readonly Measured[],
  now: readonly Measured[],
  { seconds, reports }: { seconds: number; reports: readonly VolumeReport[] },
) {
  const rate = (name: string, which?: Which) => (totalOf(now, name, which) - totalOf(before, name, which)) / seconds;
  const bounds = now.find(({ name }) => name === "mkv_request_seconds")!.bounds;
  const bucketsOf = (which: Which) => {
    const earlier = numbersOf(before, "mkv_request_seconds", which);
    const counts = numbersOf(now, "mkv_request_seconds", which).slice(0, -1); // Without their sum.
    return counts.map((count, i) => count - (earlier[i] ?? 0));
  };
  const [reads, writes, deletes] = [bucketsOf(isRead), bucketsOf(isWrite), bucketsOf(isDelete)];
  const perSecond = (counts: readonly number[]) => counts.reduce((sum, count) => sum + count, 0) / seconds;
  const free = reports.map((report) => roomOf(report, bytesFree)).filter((bytes) => bytes !== undefined);
  return {
    /** Seconds since the epoch. */
    at: Math.round(Date.now() / 1000),
    reads: perSecond(reads),
    writes: perSecond(writes),
    deletes: perSecond(deletes),
    /** Answers of 500 and above. */
    failures: rate("mkv_requests_total", isFailure),
    receivedBytes: rate("mkv_received_bytes_total"),
    readMedian: quantileOf(0.5, bounds, reads),
    readSlow: quantileOf(0.99, bounds, reads),
    writeMedian: quantileOf(0.5, bounds, writes),
    writeSlow: quantileOf(0.99, bounds, writes),
    /** Null where no volume says. */
    freeBytes: free.length === 0 ? null : free.reduce((sum, bytes) => sum + bytes, 0),
    owed: totalOf(now, "mkv_keys_owed"),
    /** Processors that the master kept busy, on average. */
    cpu: rate("process_cpu_seconds_total"),
    toHeal: totalOf(now, "mkv_keys_to_heal"),
  };
}

export type Sample = ReturnType<typeof sampleOf>;

/** Which series of a metric are meant, by the values of their labels. */
export type Which = (...values: string[]) => boolean;

/** The numbers of a metric, those of all its series that are meant together; none if there are none. */
export function numbersOf(metrics: readonly Measured[], name: string, which: Which = () => true): number[] {
  const series = metrics.find((metric) => metric.name === name)?.series ?? [];
  const meant = series.filter(({ values }: Series) => which(...values));
  return (meant[0]?.numbers ?? []).map((_, i) => meant.reduce((sum, { numbers }) => sum + numbers[i]!, 0));
}

/** The sum of a counter or gauge; 0 if there is none. */
export function totalOf(metrics: readonly Measured[], name: string, which?: Which): number {
  return numbersOf(metrics, name, which)[0] ?? 0;
}

/**
 * The value that a share of what fell into these buckets did not exceed, as far as buckets tell; null if nothing did.
 * @param counts of each bucket, and of what lay above the last bound
 */
export function quantileOf(share: number, bounds: readonly number[], counts: readonly number[]): number | null {
  const wanted = share * counts.reduce((sum, count) => sum + count, 0);
  if (wanted === 0) return null;
  let below = 0;
  for (const [i, bound] of bounds.entries()) {
    const count = counts[i]!;
    const from = bounds[i - 1] ?? 0;
    if (below + count >= wanted) return from + ((bound - from) * (wanted - below)) / count;
    below += count;
  }
  return bounds.at(-1)!;
}
