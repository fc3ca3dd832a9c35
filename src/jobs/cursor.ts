// Owns where a job goes on that was killed. What it has done is written down every few seconds, when nothing of it is under
// way: so everything up to there is counted, once.
import { reasonOf } from "../errors";
import { type Topology } from "../format/placement";
import { limits } from "../limits";
import { type Begun, type JobMemory, type RememberedJob } from "../store/job-memory";
import { type JobProgress } from "./pool";
import { type JobTarget } from "./target";

/** What a job is asked to do, and whether it goes on where the last one was killed. */
export type Task = {
  readonly job: RememberedJob;
  readonly topology: Topology;
  /** Its flags, as far as they change what is counted. */
  readonly flags: readonly string[];
  readonly fromStart: boolean;
  /** Whether nothing is to be changed, what is remembered neither. */
  readonly dryRun: boolean;
};

/** Where a job is. */
export type Place = Pick<Begun, "over" | "after" | "counts" | "rest">;

/** The place of a job that is remembered. */
export class Cursor {
  /** Where to go on; undefined at the beginning. */
  readonly from: Place | undefined;
  readonly #sinceMs: number;
  #dueMs = performance.now() + limits.cursorMs;
  #said = "";

  private constructor(
    readonly target: JobTarget,
    readonly options: { task: Task; progress: JobProgress; memory: JobMemory },
  ) {
    const { task, memory } = options;
    const { begun } = memory;
    const goesOn = begun?.after !== undefined && !task.fromStart && begun.task === textOf(task);
    this.from = goesOn ? begun : undefined;
    this.#sinceMs = goesOn ? begun.sinceMs : Date.now();
  }

  /** Looks up where the last job of this kind was killed, and says so. Throws MkvError failed. */
  static async open(target: JobTarget, { task, progress }: { task: Task; progress: JobProgress }): Promise<Cursor> {
    const memory = task.dryRun ? {} : ((await target.recall(task.job)) ?? {});
    const cursor = new Cursor(target, { task, progress, memory });
    const { begun } = memory;
    if (!begun?.after) return cursor;
    const when = new Date(begun.atMs).toISOString();
    if (cursor.from) {
      const where = `after ${JSON.stringify(begun.after)}, where one was cut short at ${when}`;
      progress.note(`${task.job}: goes on ${where}: what it counts is of both; -from-start begins anew`);
    } else if (!task.fromStart)
      progress.note(
        `${task.job}: begins anew, the one that was cut short at ${when} had another task, or another store`,
      );
    return cursor;
  }

  /** How many keys the last whole job has found; undefined if there was none. */
  get lastKeys(): number | undefined {
    return this.options.memory.ended?.counts["keys"];
  }

  /** Whether it is time to write down where the job is. */
  get isDue(): boolean {
    return performance.now() > this.#dueMs;
  }

  /** Writes down where the job is; nothing of it may be under way. What that has cost in time is a tenth of it at most. */
  async save(place: Place, waitedMs: number): Promise<void> {
    this.#dueMs = performance.now() + Math.max(limits.cursorMs, 10 * waitedMs);
    const { task, memory } = this.options;
    const begun = { ...place, task: textOf(task), sinceMs: this.#sinceMs, atMs: Date.now() };
    await this.#remember({ ...memory, begun });
  }

  /** Writes down that the job has ended, and with which counts if it went over everything. */
  async end(counts: Readonly<Record<string, number>> | undefined): Promise<void> {
    const atMs = Date.now();
    const seconds = (atMs - this.#sinceMs) / 1000;
    await this.#remember({ ended: counts ? { atMs, seconds, counts } : this.options.memory.ended });
  }

  /** What cannot be written down is only missed if the job is killed. */
  async #remember(memory: JobMemory): Promise<void> {
    const { task, progress } = this.options;
    if (task.dryRun) return;
    const said = await this.target.remember(task.job, memory).then(() => "", reasonOf);
    if (said !== "" && said !== this.#said) progress.note(`${task.job}: where it is cannot be written down: ${said}`);
    this.#said = said;
  }
}

function textOf({ topology, flags }: Task): string {
  const { volumes, replicas, subvolumes } = topology;
  return JSON.stringify([volumes.toSorted(), replicas, subvolumes, ...flags]);
}
