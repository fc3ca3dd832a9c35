// Owns what the log is told of the store: that a volume changes its state, that a job which works through this master begins
// or ends: it asks for key after key. That a volume was replaced is said by `volumes/identity.ts`.
import { nowMs } from "../../clock";
import { limits } from "../../limits";
import { counted, log, warn } from "../../log";
import { type Measured } from "../../metrics";
import { type VolumeReport, hasNoRoom } from "../../volumes/report";
import { totalOf } from "./numbers";

/** The states of disks that take no writes. */
const refusing = ["full", "read-only"] as const;
type Refusing = (typeof refusing)[number];

/** A look at all volumes, which tells of each change once. */
export function stateLog(): (reports: readonly VolumeReport[]) => void {
  /** Volumes that are down. The second look tells of it: at a start after a crash nobody has been heard of at the first. */
  const down = new Map<string, { readonly sinceMs: number; isTold: boolean }>();
  /** Disks of a volume that are in a state, by both, and when one was seen so last. */
  const disks = new Map<string, { readonly names: Set<string>; seenMs: number }>();

  function lookAtServer({ name, state }: VolumeReport): void {
    const seen = down.get(name);
    if (state === "down") {
      if (!seen) down.set(name, { sinceMs: nowMs(), isTold: false });
      else if (!seen.isTold)
        warn(`${name} is down: reads go to other copies, writes to other volumes if there are enough`);
      if (seen) seen.isTold = true;
    } else if (seen) {
      down.delete(name);
      if (seen.isTold) log(`${name} is back, after ${Math.max(1, Math.round((nowMs() - seen.sinceMs) / 1000))} s`);
    }
  }

  /** A disk counts as full for a while after it has refused a write: it is back when it was not seen so for longer. */
  function lookAtDisks(report: VolumeReport, state: Refusing): void {
    const { name } = report;
    const id = `${state} ${name}`;
    const said = disks.get(id) ?? { names: new Set(), seenMs: 0 };
    const found = report.disks.filter((disk) => disk.state === state);
    if (found.length > 0) {
      said.seenMs = nowMs();
      disks.set(id, said);
      if (found.every((disk) => said.names.has(disk.name))) return;
      for (const disk of found) said.names.add(disk.name);
      const named = [...said.names].filter((disk) => disk !== "").sort();
      const which = named.length === 0 ? "" : ` (${named.join(", ")})`;
      // One that does not say what room it has may have refused a write for another reason.
      const isSure = found.every(({ space }) => space && hasNoRoom(space));
      const isFull = isSure ? "is full" : "is full or cannot be written to";
      warn(`${name} ${state === "full" ? isFull : "is read-only"}${which}: ${advice[state]}`);
    } else if (disks.has(id) && nowMs() - said.seenMs > limits.fullMs) {
      disks.delete(id);
      log(`${name} is back: it is not ${state} any more`);
    }
  }

  return (reports) => {
    for (const report of reports) {
      lookAtServer(report);
      for (const state of refusing) lookAtDisks(report, state);
    }
  };
}

const advice: Record<Refusing, string> = {
  full: "make room, or add volumes and run rebalance; if there is room, the log of nginx there says why",
  "read-only": "remount it (mount -o remount,rw), or replace the disk if dmesg there says that it fails",
};

/** A job under way: `keys` it has asked about so far, and how many a second of late. */
type Running = { keys: number; keysPerSecond: number; grewMs: number; atMs: number };

/** The jobs that `mkv_job_keys_total` counts. */
export class JobWatch {
  readonly #running = new Map<string, Running>();
  readonly #totals = new Map<string, number>();

  get running() {
    return [...this.#running].map(([name, { keys, keysPerSecond }]) => ({ name, keys, keysPerSecond }));
  }

  /** Looks at the counts, and says which jobs have begun or ended since. */
  look(metrics: readonly Measured[]): void {
    const now = nowMs();
    const isBusy = (job: string) => totalOf(metrics, "mkv_job_keys_in_hand", (name) => name === job) > 0;
    for (const { values, numbers } of metrics.find(({ name }) => name === "mkv_job_keys_total")?.series ?? []) {
      const [name, total] = [values[0]!, numbers[0]!];
      const more = total - (this.#totals.get(name) ?? 0);
      this.#totals.set(name, total);
      const job = this.#running.get(name);
      if (job) {
        if (more > 0 || isBusy(name)) job.grewMs = now;
        job.keys += more;
        job.keysPerSecond = (more * 1000) / Math.max(now - job.atMs, 1);
        job.atMs = now;
        if (now - job.grewMs < limits.jobQuietMs) continue;
        this.#running.delete(name);
        log(`${name} through this master has ended: it asked about ${counted(job.keys, "key")}`);
      } else if (more > 0) {
        this.#running.set(name, { keys: more, keysPerSecond: 0, grewMs: now, atMs: now });
        log(`${name} through this master has begun`);
      }
    }
  }
}
