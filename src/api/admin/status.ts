// Owns the status of a store as JSON, for programs, for `mkv status`, and for the page; and the answer to "can it be written to
// now?": whether the ledger answers, and how many volumes take values.
import { nowMs } from "../../clock";
import { withDeadline } from "../../deadline";
import { MkvError, reasonOf } from "../../errors";
import { parseKey } from "../../format/key";
import { counted } from "../../log";
import { limits } from "../../limits";
import { type Measured, readMetrics } from "../../metrics";
import { type Store } from "../../store/store";
import { type PlaceState, type VolumeReport, placeOf, putBackIn } from "../../volumes/report";
import { putBackWarning } from "../../volumes/warnings";
import { mostConnections } from "../admission";
import { bytesFree, processMetrics, roomOf, startedSeconds } from "./look";
import { numbersOf, quantileOf, totalOf } from "./numbers";
import { type Observer } from "./observer";

export type StatusSources = {
  readonly store: Store;
  readonly observer: Observer;
  readonly version: string;
  readonly threads: number;
  /** Aborted when the master is to end. */
  readonly stop: AbortSignal;
};

/**
 * The status; times in seconds.
 * @param whyNotReady a line that says why nothing can be written
 */
export function statusOf(
  { store, observer, version, threads }: StatusSources,
  { whyNotReady, connections }: { whyNotReady: string | undefined; connections: number | undefined },
) {
  const metrics = readMetrics();
  const reports = observer.reports();
  const { topology, minreplicas } = store;
  return {
    version,
    startedAt: new Date(startedSeconds * 1000).toISOString(),
    ready: whyNotReady === undefined,
    problems: problemsOf(store, { reports, metrics, whyNotReady, connections }),
    threads,
    replicas: topology.replicas,
    minReplicas: minreplicas,
    volumes: reports.map(volumeOf),
    jobs: observer.jobs.running,
    owed: totalOf(metrics, "mkv_keys_owed"),
    toHeal: totalOf(metrics, "mkv_keys_to_heal"),
    healed: totalOf(metrics, "mkv_healed_total"),
    healFailures: totalOf(metrics, "mkv_heal_failures_total"),
    /** When all copies had been read, in seconds since the epoch; 0 is never. */
    scrubbedAt: totalOf(metrics, "mkv_scrubbed_timestamp_seconds"),
    scrubFindings: byLabel(metrics, "mkv_scrub_findings_total"),
    verifiedAt: verifiedAt(metrics),
    verifyFindings: byLabel(metrics, "mkv_verify_findings"),
    claimsOpen: totalOf(metrics, "mkv_claims_open"),
    listsOpen: totalOf(metrics, "mkv_lists_open"),
    connections,
    connectionsLimit: Number.isFinite(mostConnections) ? mostConnections : undefined,
    receivedBytes: totalOf(metrics, "mkv_received_bytes_total"),
    sentBytes: totalOf(metrics, "mkv_sent_bytes_total"),
    requests: byLabel(metrics, "mkv_requests_total"),
    requestSeconds: timesOf(metrics, "mkv_request_seconds"),
    volumeRequests: byLabel(metrics, "mkv_volume_requests_total"),
    volumeRequestSeconds: timesOf(metrics, "mkv_volume_request_seconds"),
    ledgerSeconds: timesOf(metrics, "mkv_ledger_seconds"),
    process: Object.fromEntries(
      processMetrics(version).flatMap(({ name, series }) =>
        name.startsWith("process_") ? [[name.slice("process_".length), series[0]!.numbers[0]]] : [],
      ),
    ),
  };
}

export type Status = ReturnType<typeof statusOf>;

/** When the last whole verify had ended, in seconds since the epoch; 0 is never. */
function verifiedAt(metrics: readonly Measured[]): number {
  const [age] = numbersOf(metrics, "mkv_verify_age_seconds");
  return age === undefined ? 0 : Math.round(Date.now() / 1000 - age);
}

function volumeOf(report: VolumeReport) {
  return {
    name: report.name,
    state: report.state,
    settled: report.isSettled,
    freeBytes: roomOf(report, bytesFree),
    sizeBytes: roomOf(report, ({ space }) => space?.bytesTotal),
    disks: report.disks.map(({ name, state, space, error }) => ({
      name,
      state,
      error,
      freeBytes: space?.bytesFree,
      sizeBytes: space?.bytesTotal,
      freeFiles: space && space.filesTotal > 0 ? space.filesFree : undefined,
    })),
  };
}

/** What is not as it should be, each as a line that names whom it is about; nothing if all is well. */
function problemsOf(store: Store, { reports, metrics, whyNotReady, connections }: Looked): string[] {
  const problems = reports.flatMap(troublesOf);
  const failing = reports.flatMap(({ name, disks }) =>
    disks
      .filter(({ error }) => error !== undefined)
      .map((disk) => `${placeOf(name, disk.name)} cannot be looked at: ${disk.error}`),
  );
  problems.push(...new Set(failing));
  if (whyNotReady !== undefined) problems.push(whyNotReady);
  const putBack = putBackIn(store.volumes);
  if (putBack.length > 0) problems.push(putBackWarning(putBack));
  if (store.ledger.age !== "current") problems.push("the index may lack what was acknowledged last: run rebuild");
  for (const [place, isUnfilled] of Object.entries(byLabel(metrics, "mkv_disk_unfilled")))
    if (isUnfilled) problems.push(`${place} was adopted, and is not filled yet`);
  const toHeal = totalOf(metrics, "mkv_keys_to_heal");
  if (toHeal > 0) problems.push(`${counted(toHeal, "key")} not on all volumes`);
  if (totalOf(metrics, "mkv_hints_left_out") > 0)
    problems.push("more keys are not on all volumes than are remembered: run rebalance when the volumes are back");
  const owed = totalOf(metrics, "mkv_keys_owed");
  if (owed >= limits.debts / 2) problems.push(`${counted(owed, "key")} with files left on volumes that are away`);
  if (connections !== undefined && connections >= mostConnections)
    problems.push(`${connections} connections are too many: raise the number of open files (LimitNOFILE)`);
  return problems;
}

type Looked = {
  readonly reports: readonly VolumeReport[];
  readonly metrics: readonly Measured[];
  readonly whyNotReady: string | undefined;
  readonly connections: number | undefined;
};

/** A volume with each thing that is wrong with it, and on which of its disks if not on all. */
export function troublesOf(report: VolumeReport): string[] {
  const states = new Set(report.disks.map(({ state }) => state));
  return [...states].filter((state) => state !== "up").map((state) => troubleOf(report, state));
}

function troubleOf({ name, disks }: VolumeReport, state: PlaceState): string {
  const bad = disks.filter((disk) => disk.state === state);
  const isAll = bad.length === disks.length;
  const which = isAll ? "" : ` (${bad.map((disk) => disk.name).join(", ")})`;
  const place = isAll ? name : placeOf(name, bad[0]!.name);
  const advice =
    state === "foreign" ? `: if it was replaced, run "mkv adopt ${place}"; if it is not mounted, mount it` : "";
  return `${name} ${said[state]}${which}${advice}`;
}

/** The series of a counter, by the values of their labels, with a space between these. */
function byLabel(metrics: readonly Measured[], name: string): Record<string, number> {
  const series = metrics.find((metric) => metric.name === name)?.series ?? [];
  return Object.fromEntries(series.map(({ values, numbers }) => [values.join(" "), numbers[0]!]));
}

/** How many there were of each kind, and what half and 99 of 100 of them did not exceed. */
function timesOf(metrics: readonly Measured[], name: string) {
  const metric = metrics.find((each) => each.name === name);
  const times = (metric?.series ?? []).map(({ values, numbers }) => {
    const counts = numbers.slice(0, -1);
    const count = counts.reduce((sum, each) => sum + each, 0);
    const [median, slow] = [0.5, 0.99].map((share) => quantileOf(share, metric!.bounds, counts));
    return [values.join(" "), { count, sum: numbers.at(-1)!, median, p99: slow }] as const;
  });
  return Object.fromEntries(times);
}

const anyKey = parseKey("/");

/** Looks whether a store is ready. One question to the ledger at a time, however many ask, and none waits for it anew. */
export class Readiness {
  #asked: { readonly answer: Promise<string | undefined>; readonly untilMs: number } | undefined;

  constructor(readonly store: Store) {}

  /** A line that says why it is not ready; undefined if it is. */
  async whyNot(reports: readonly VolumeReport[]): Promise<string | undefined> {
    const onTimeout = () => new MkvError("timeout", `it does not answer within ${limits.readyMs} ms`);
    const { answer, untilMs } = (this.#asked ??= this.#askLedger());
    const ledger = await withDeadline(untilMs - nowMs(), answer, onTimeout).catch(reasonOf);
    return ledger === undefined ? whyNotWritable(this.store, reports) : `the index cannot be read: ${ledger}`;
  }

  #askLedger() {
    const ask = async () => void (await this.store.ledger.get(anyKey));
    const answer = ask().then(() => undefined, reasonOf);
    void answer.finally(() => (this.#asked = undefined));
    return { answer, untilMs: nowMs() + limits.readyMs };
  }
}

/** What is said of a volume, after its name. */
export const said: Record<PlaceState, string> = {
  up: "is up",
  down: "is down",
  full: "is full",
  "read-only": "is read-only",
  foreign: "is not the disk it was",
};

function whyNotWritable({ minreplicas, volumes }: Store, reports: readonly VolumeReport[]): string | undefined {
  const isWritable = ({ name, disks }: VolumeReport) =>
    disks.some((disk) => disk.state === "up" && volumes.health.isWritable(placeOf(name, disk.name)));
  const refusing = reports.filter((report) => !isWritable(report));
  const writable = reports.length - refusing.length;
  if (writable >= minreplicas) return undefined;
  const why = refusing.map(({ name, state }) => `${name} ${state === "up" ? "has just come back" : said[state]}`);
  return `${writable} of ${reports.length} volumes can be written to, a value needs ${minreplicas}: ${why.join(", ")}`;
}
