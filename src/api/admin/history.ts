// Owns the last hour, as the page draws it: a sample every `sampleMs`, no more than `samples` of them.
import { limits } from "../../limits";
import { type Measured } from "../../metrics";
import { type VolumeReport } from "../../volumes/report";
import { bytesFree, roomOf } from "./look";
import { type Which, numbersOf, quantileOf, totalOf } from "./numbers";

/** What happened in the time before a sample: rates a second, times in seconds; and what there was then. */
export type Sample = {
  /** Seconds since the epoch. */
  readonly at: number;
  readonly reads: number;
  readonly writes: number;
  readonly deletes: number;
  /** Answers of 500 and above. */
  readonly failures: number;
  readonly receivedBytes: number;
  readonly readMedian: number | null;
  readonly readSlow: number | null;
  readonly writeMedian: number | null;
  readonly writeSlow: number | null;
  /** Null where no volume says. */
  readonly freeBytes: number | null;
  readonly owed: number;
  /** Processors that the master kept busy, on average. */
  readonly cpu: number;
  readonly toHeal: number;
};

const isRead: Which = (operation) => operation === "get" || operation === "head";
const isWrite: Which = (operation) => operation === "put";
const isDelete: Which = (operation) => operation === "delete" || operation === "unlink";
const isFailure: Which = (_, status) => Number(status) >= 500;

/** The samples of the last hour. */
export class History {
  readonly #samples: Sample[] = [];
  #before: { readonly metrics: readonly Measured[]; readonly atMs: number } | undefined;

  get samples(): readonly Sample[] {
    return this.#samples;
  }

  /** Takes a sample of what has changed since the one before; the first one only begins. */
  add(metrics: readonly Measured[], reports: readonly VolumeReport[]): void {
    const atMs = performance.now();
    const before = this.#before;
    this.#before = { metrics, atMs };
    if (!before) return;
    this.#samples.push(sampleOf(before.metrics, metrics, { seconds: (atMs - before.atMs) / 1000, reports }));
    if (this.#samples.length > limits.samples) this.#samples.shift();
  }
}

function sampleOf(
  before: readonly Measured[],
  now: readonly Measured[],
  { seconds, reports }: { seconds: number; reports: readonly VolumeReport[] },
): Sample {
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
    at: Math.round(Date.now() / 1000),
    reads: perSecond(reads),
    writes: perSecond(writes),
    deletes: perSecond(deletes),
    failures: rate("mkv_requests_total", isFailure),
    receivedBytes: rate("mkv_received_bytes_total"),
    readMedian: quantileOf(0.5, bounds, reads),
    readSlow: quantileOf(0.99, bounds, reads),
    writeMedian: quantileOf(0.5, bounds, writes),
    writeSlow: quantileOf(0.99, bounds, writes),
    freeBytes: free.length === 0 ? null : free.reduce((sum, bytes) => sum + bytes, 0),
    owed: totalOf(now, "mkv_keys_owed"),
    cpu: rate("process_cpu_seconds_total"),
    toHeal: totalOf(now, "mkv_keys_to_heal"),
  };
}
