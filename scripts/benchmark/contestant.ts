// Owns the masters that are measured: mkv, and the one it is compared with.
import { basename, join } from "node:path";
import { type Child, type Memory, end, launch, memoryOf } from "./children";
import { freePort, ready, root } from "./cluster";
import { BenchError, demand } from "./failure";
import { type Options } from "./options";

const startWithinMs = 120_000;
const jobWithinMs = 1_800_000;
const everyMs = 20;

/** A program that knows the commands of a master. */
export class Contestant {
  readonly #help: string;

  constructor(
    readonly name: string,
    readonly binary: string,
    /** Flags of all its masters. */
    readonly flags: readonly string[],
  ) {
    try {
      const { stdout, stderr } = Bun.spawnSync([binary, "--help"]);
      this.#help = `${stdout}${stderr}`;
    } catch (error) {
      throw new BenchError(`${basename(binary)} does not run: ${(error as Error).message}`);
    }
  }

  /** Whether its help names this flag. */
  knows(flag: string): boolean {
    return new RegExp(`-${flag}\\b`).test(this.#help);
  }

  /** A flag with its value, if the program knows it and it is not given anyway. */
  mayFlag(flag: string, value: string): string[] {
    return this.knows(flag) && !this.flags.some((given) => /^--?/.test(given) && given.includes(flag))
      ? [`-${flag}`, value]
      : [];
  }

  /** Starts a master. */
  async serve(db: string, flags: readonly string[]): Promise<Master> {
    const port = await freePort();
    const log = `${db}.${this.name}.log`;
    const startedMs = performance.now();
    const command = [this.binary, "-port", String(port), "-db", db, ...flags, ...this.flags, "server"];
    const child = launch(command, { log });
    try {
      await ready(child, port, { log, withinMs: startWithinMs });
    } catch (error) {
      await end(child);
      throw error;
    }
    return new Master(this, port, { child, log, startMs: performance.now() - startedMs });
  }

  /** Runs `rebuild` or `rebalance` to its end. Throws BenchError if it fails. */
  async run(job: "rebuild" | "rebalance", db: string, flags: readonly string[]): Promise<JobRun> {
    const log = `${db}.${this.name}.log`;
    const startedMs = performance.now();
    const child = launch([this.binary, "-db", db, ...flags, ...this.flags, job], { log });
    let peakBytes = 0;
    let seconds: number | undefined;
    const ended = child.exited.then(() => (seconds = (performance.now() - startedMs) / 1000));
    while (seconds === undefined) {
      peakBytes = memoryOf(child.pid)?.peakBytes ?? peakBytes;
      if (performance.now() - startedMs > jobWithinMs) await end(child);
      await Promise.race([ended, Bun.sleep(everyMs)]);
    }
    if (child.exitCode !== 0) {
      throw new BenchError(
        `${this.name} ${job} ended with ${child.exitCode}: ${(await Bun.file(log).text()).slice(-500)}`,
      );
    }
    return { seconds, peakBytes };
  }
}

/** A job that has ended. */
export type JobRun = { readonly seconds: number; readonly peakBytes: number };

/** A master that runs. */
export class Master implements AsyncDisposable {
  readonly startMs: number;
  readonly #child: Child;
  readonly #log: string;

  constructor(
    readonly contestant: Contestant,
    readonly port: number,
    { child, log, startMs }: { child: Child; log: string; startMs: number },
  ) {
    this.#child = child;
    this.#log = log;
    this.startMs = startMs;
  }

  get memory(): Memory {
    const memory = memoryOf(this.#child.pid);
    demand(memory !== undefined, `${this.contestant.name} has ended`);
    return memory;
  }

  /** Throws BenchError if it has logged a bug. */
  async demandHealth(): Promise<void> {
    const bug = /^.*a bug: .*$/m.exec(await Bun.file(this.#log).text());
    demand(!bug, `${this.contestant.name} says: ${bug?.[0]}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.#child);
  }
}

/** The programs that these options and this environment name. */
export function contestantsOf(options: Options): Contestant[] {
  const ours = process.env["MKV"] ?? join(root, "mkv");
  const contestants = [new Contestant("mkv", ours, options.flags)];
  if (options.against !== undefined) {
    const name = basename(options.against);
    contestants.push(new Contestant(name === "mkv" ? "other" : name, options.against, []));
  }
  return contestants;
}
