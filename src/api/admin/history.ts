// Owns what the page draws of a moment of the last hour.
import { type Measured } from "../../metrics";
import { type VolumeReport } from "../../volumes/report";
import { bytesFree, roomOf } from "./look";
import { type Which, numbersOf, quantileOf, totalOf } from "./numbers";

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
