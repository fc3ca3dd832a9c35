// Owns what a master knows of jobs that work through it: each asks for key after key, until it has ended.
import { counted } from "../../counted";
import { nowMs } from "../../clock";
import { limits } from "../../limits";
import { log } from "../../log";
import { type Measured } from "../../metrics";

type Watched = { before: number; total: number; grewMs: number; atMs: number; rate: number };

/** The jobs that `mkv_job_keys_total` counts. */
export class JobWatch {
  readonly #running = new Map<string, Watched>();
  readonly #totals = new Map<string, number>();

  /** Those under way: `keys` each has asked about so far, and how many a second of late. */
  get running() {
    return [...this.#running].map(([name, { before, total, rate }]) => ({
      name,
      keys: total - before,
      keysPerSecond: rate,
    }));
  }

  /** Looks at the counts, and says which jobs have begun or ended since. */
  look(metrics: readonly Measured[]): void {
    const now = nowMs();
    for (const { values, numbers } of metrics.find(({ name }) => name === "mkv_job_keys_total")?.series ?? []) {
      const [name, total] = [values[0]!, numbers[0]!];
      const before = this.#totals.get(name) ?? 0;
      this.#totals.set(name, total);
      const job = this.#running.get(name);
      if (job) {
        if (total > job.total) job.grewMs = now;
        job.rate = ((total - job.total) * 1000) / Math.max(now - job.atMs, 1);
        Object.assign(job, { total, atMs: now });
        if (now - job.grewMs < limits.jobQuietMs) continue;
        this.#running.delete(name);
        log(`${name} through this master has ended: it asked about ${counted(total - job.before, "key")}`);
      } else if (total > before) {
        this.#running.set(name, { before, total, grewMs: now, atMs: now, rate: 0 });
        log(`${name} through this master has begun`);
      }
    }
  }
}
