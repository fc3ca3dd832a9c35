// Owns what the first thread looks at again and again for those who operate the store, so that every question of theirs is
// answered at once from memory, whatever volumes and ledger are doing.
import { nowMs } from "../../clock";
import { limits } from "../../limits";
import { type Measured, readMetrics } from "../../metrics";
import { type Store } from "../../store/store";
import { Disks } from "../../volumes/disks";
import { type VolumeReport, reportOf } from "../../volumes/report";
import { JobWatch, stateLog } from "./events";
import { countConnections, cpuSeconds } from "./look";
import { type Sample, sampleOf } from "./numbers";

/** What is looked at, and was seen last. */
export class Observer {
  /** Those of the last hour, in their order. */
  readonly samples: Sample[] = [];
  readonly jobs = new JobWatch();
  readonly #ports: readonly number[];
  readonly #disks: Disks | undefined;
  /** What the last sample was taken of. */
  #sampled: { readonly metrics: readonly Measured[]; readonly atMs: number } | undefined;
  readonly #tellStates = stateLog();
  #askedMs = Number.NEGATIVE_INFINITY;
  #counted: { readonly untilMs: number; readonly connections: Promise<number | undefined> } | undefined;

  /**
   * @param options.ports of the master, whose connections are counted
   * @param options.isAsked whether somebody may ask: if not, only what the log tells is looked at
   */
  constructor(
    readonly store: Store,
    { ports, isAsked }: { ports: readonly number[]; isAsked: boolean },
  ) {
    this.#ports = ports;
    this.#disks = isAsked ? new Disks(store.volumes) : undefined;
  }

  reports(): VolumeReport[] {
    return reportOf(this.store.volumes, this.#disks);
  }

  /** Connections of clients as they were within the last second, where the system counts them. */
  connections(): Promise<number | undefined> {
    if (!this.#counted || this.#counted.untilMs < nowMs())
      this.#counted = { untilMs: nowMs() + limits.freshMs, connections: countConnections(this.#ports) };
    return this.#counted.connections;
  }

  /** Looks until what it returns is disposed of, and tells of changes in the log. */
  start(): Disposable {
    this.#look();
    return setInterval(() => this.#look(), limits.watchMs);
  }

  #look(): void {
    const now = nowMs();
    const reports = this.reports();
    this.#tellStates(reports);
    if (now - this.#askedMs < limits.disksEveryMs) return;
    this.#askedMs = now;
    const metrics = readMetrics();
    this.jobs.look(metrics);
    if (!this.#disks) return;
    void this.#disks.ask();
    this.#sample(metrics, reports);
  }

  /** Takes a sample of what has changed since the one before; the first one only begins. */
  #sample(metrics: readonly Measured[], reports: readonly VolumeReport[]): void {
    const [before, now] = [this.#sampled, { metrics: [...metrics, cpuSeconds()], atMs: nowMs() }];
    if (before && now.atMs - before.atMs < limits.sampleMs - limits.watchMs) return;
    this.#sampled = now;
    if (!before) return;
    const seconds = (now.atMs - before.atMs) / 1000;
    this.samples.push(sampleOf(before.metrics, now.metrics, { seconds, reports }));
    if (this.samples.length > limits.samples) this.samples.shift();
  }
}
