// Owns what a master knows of jobs that work through it: each asks for key after key, until it has ended.
import { counted } from "../../counted";
import { nowMs } from "../../clock";
import { limits } from "../../limits";
import { log } from "../../log";
import { type Measured } from "../../metrics";

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
    for (const { values, numbers } of metrics.find(({ name }) => name === "mkv_job_keys_total")?.series ?? []) {
      const [name, total] = [values[0]!, numbers[0]!];
      const more = total - (this.#totals.get(name) ?? 0);
      this.#totals.set(name, total);
      const job = this.#running.get(name);
      if (job) {
        if (more > 0) job.grewMs = now;
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
