// Owns where a job goes on that was killed, and what it tries once more at its end, when whatever stood in the way may have
// passed. What it has done is written down every few seconds, when nothing of it is under way: so everything up to there is
// counted, once.
import { nowMs } from "../clock";
import { type MkvError, reasonOf } from "../errors";
import { type Topology } from "../format/placement";
import { limits } from "../limits";
import { topologyId } from "../store/hints";
import { type Begun, type JobMemory, type RememberedJob } from "../store/job-memory";
import { type JobProgress, type Pause } from "./pool";
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

/** The place of a job that is remembered, with what it has counted, and what of type T it tries again at its end. */
export class Cursor<T> {
  /** Where to go on; undefined at the beginning. */
  readonly from: Begun | undefined;
  /** See `Begun`. */
  isForeign: boolean;
  readonly #later: T[];
  readonly #sinceMs: number;
  readonly #putBack: readonly string[];
  #dueMs = performance.now() + limits.cursorMs;
  #said = "";

  private constructor(
    readonly target: JobTarget,
    readonly options: CursorOptions & { memory: JobMemory },
  ) {
    const { task, counts, memory } = options;
    const { begun } = memory;
    const goesOn = begun?.after !== undefined && begun.later && !task.fromStart && begun.task === textOf(task);
    this.from = goesOn ? begun : undefined;
    Object.assign(counts, this.from?.counts);
    this.isForeign = this.from?.isForeign ?? false;
    this.#later = [...((this.from?.later ?? []) as readonly T[])];
    this.#sinceMs = this.from?.sinceMs ?? Date.now();
    this.#putBack = (this.from ?? memory).putBack ?? [];
  }

  /** Looks up where the last job of this kind was killed, and says so. Throws MkvError failed. */
  static async open<T>(target: JobTarget, options: CursorOptions): Promise<Cursor<T>> {
    const { task, progress } = options;
    const memory = task.dryRun ? {} : await target.recall(task.job);
    const cursor = new Cursor<T>(target, { ...options, memory });
    const { begun } = memory;
    if (!begun?.after) return cursor;
    const when = new Date(begun.atMs).toISOString();
    if (cursor.from) {
      const where = `after ${JSON.stringify(begun.after)}, where one was cut short at ${when}`;
      progress.note(`${task.job}: goes on ${where}: what it counts is of both; -from-start begins anew`);
    } else if (!task.fromStart) {
      const one = `the one that was cut short at ${when}`;
      const why =
        begun.task === "" ? `what ${one} has done may not hold any more` : `${one} had another task, or another store`;
      progress.note(`${task.job}: begins anew, ${why}`);
    }
    return cursor;
  }

  /** How many keys the last whole job has found; undefined if there was none. */
  get lastKeys(): number | undefined {
    return this.options.memory.ended?.counts["keys"];
  }

  /**
   * Has it written down once in a while where the job is: a tenth of its time goes into that at most. Not while too much of
   * it is to be tried again.
   * @param nameOf what the last of `over` is remembered by
   */
  pauses<I>(over: Begun["over"], nameOf: (last: I) => string): Pause<I> {
    return {
      isDue: () => performance.now() > this.#dueMs && this.#later.length <= limits.triedAgainRemembered,
      rest: async (last, waitedMs) => {
        this.#dueMs = performance.now() + Math.max(limits.cursorMs, 10 * waitedMs);
        const { task, counts, memory } = this.options;
        const place = { over, after: nameOf(last), counts, later: this.#later, isForeign: this.isForeign };
        const begun = {
          ...place,
          putBack: this.#putBack,
          task: textOf(task),
          sinceMs: this.#sinceMs,
          atMs: Date.now(),
        };
        await this.#remember({ ...memory, begun });
      },
    };
  }

  /** Whether this is tried again at the end: its failure may pass, and there is room. */
  takes(item: T, { code }: MkvError): boolean {
    return passing.has(code) && this.add(item);
  }

  /** Whether there is room for this to be tried again. */
  add(item: T): boolean {
    if (this.#later.length >= limits.triedAgain) return false;
    this.#later.push(item);
    return true;
  }

  /**
   * All that is tried again, and for how long each is worth a try: after that, what a process before this one had sent for its
   * key can land no more.
   */
  async *later(): AsyncGenerator<readonly [item: T, forMs: number]> {
    const untilMs = nowMs() + limits.fenceOverMs;
    for (const item of this.#later) yield [item, Math.max(limits.busyMs, untilMs - nowMs())];
  }

  /** Writes down that the job has ended, and with which counts if it went over everything; see `Ended`. */
  async end({ isWhole, isProof }: { isWhole: boolean; isProof?: boolean }): Promise<void> {
    const { counts, memory } = this.options;
    const atMs = Date.now();
    const seconds = (atMs - this.#sinceMs) / 1000;
    const putBack = isProof ? this.#putBack : undefined;
    await this.#remember({ ended: isWhole ? { atMs, seconds, counts, putBack } : memory.ended });
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

type CursorOptions = { task: Task; progress: JobProgress; counts: Record<string, number> };

const passing: ReadonlySet<string> = new Set([
  "busy",
  "unavailable",
  "away",
  "timeout",
  "volume-failed",
  "too-much-owed",
]);

function textOf({ topology, flags }: Task): string {
  return JSON.stringify([topologyId(topology), ...flags]);
}
