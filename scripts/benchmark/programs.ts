// Owns the programs that are measured: mkv over a folder or a database, the masters that it is compared with, a bare server.
import { basename, join } from "node:path";
import { Master } from "../../test/support/master";
import { freePort } from "../../test/support/ports";
import { type Postgres } from "../../test/support/postgres";
import { RunningProcess, type Spent, contents } from "../../test/support/process";
import { recordsIn } from "../../test/support/records";
import { s3Flags } from "../../test/support/s3";
import { until } from "../../test/support/until";
import { type Side, type Work, metered } from "./measure";
import { BenchError, demand } from "./failure";
import { run } from "./traffic";
import { type Entry, type Shelf, writeIndex } from "./values";

let ledgers = 0;

export type Flags = Readonly<Record<string, string | number>>;

/** A master of a program. */
export type Served = { readonly program: Program; readonly master: Master };

/** A program that knows the commands of a master. */
export class Program {
  readonly #help: string;

  /** @param postgres keeps its ledgers; without one they are folders */
  constructor(
    readonly name: string,
    readonly binary: string,
    readonly postgres?: Postgres,
  ) {
    try {
      const { stdout, stderr } = Bun.spawnSync([binary, "--help"]);
      this.#help = `${stdout}${stderr}`;
    } catch (error) {
      throw new BenchError(`${basename(binary)} does not run: ${(error as Error).message}`);
    }
  }

  /** The program that is meant by `PATH` or `NAME:PATH`. */
  static named(text: string): Program {
    const [, name, path] = /^(?:([\w.-]+):)?(.+)$/.exec(text)!;
    return new Program(name ?? (basename(path!) === "mkv" ? "other" : basename(path!)), path!);
  }

  /** Whether its help names this flag. */
  knows(flag: string): boolean {
    return new RegExp(`(^|\\s)-${flag}\\b`).test(this.#help);
  }

  /** A command with those of the flags that the program knows. */
  #command(name: string, db: string, flags: Flags): string[] {
    const known = Object.entries({ db, ...flags }).filter(([flag]) => this.knows(flag));
    return [this.binary, ...known.flatMap(([flag, value]) => [`-${flag}`, String(value)]), name];
  }

  /** A new ledger, with these entries if any are given: what `-db` takes. */
  async makeLedger(shelf: Shelf, entries?: Iterable<Entry>): Promise<string> {
    const name = `ledger${++ledgers}`;
    const folder = join(shelf.folder, name);
    if (entries) await writeIndex(folder, entries);
    if (!this.postgres) return folder;
    await this.postgres.query(`drop database if exists ${name} with (force)`); // Of an earlier bench, if its data is kept.
    await this.postgres.query(`create database ${name}`);
    if (entries) await this.moveLedger(folder, this.postgres.urlOf(name));
    return this.postgres.urlOf(name);
  }

  /** Puts into an empty database what an index holds. */
  async moveLedger(folder: string, url: string): Promise<void> {
    const move = '"$0" -db "$1" export | "$0" -db "$2" -latest import';
    await run(["sh", "-c", move, this.binary, folder, url]);
  }

  /** Starts a master, and waits until it answers. */
  async serve(db: string, flags: Flags): Promise<Master> {
    const port = await freePort();
    const process = new RunningProcess({ command: this.#command("server", db, { ...flags, port }) });
    const answers = () => fetch(`http://127.0.0.1:${port}/anybody-there`).catch(() => process.ended);
    try {
      await until(answers, { what: `${this.name} answers`, deadlineMs: 300_000 });
      demand(!process.ended, `${this.name} has ended: ${`${process.stdout}${process.stderr}`.trim().slice(-500)}`);
      return new Master(process, db, port);
    } catch (error) {
      await process[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Runs a job to its end; what it says on its standard output is lost. Throws BenchError if it fails. */
  async run(job: string, db: string, flags: Flags): Promise<Spent & { peakBytes: number }> {
    const silent = ["sh", "-c", 'exec "$@" >/dev/null', "sh"];
    await using process = new RunningProcess({ command: [...silent, ...this.#command(job, db, flags)] });
    let peakBytes = 0;
    const look = setInterval(() => {
      const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(contents(`/proc/${process.pid}/status`)) ?? []; // Gone at its end.
      peakBytes = Math.max(peakBytes, 1024 * Number(kilobytes ?? 0));
    }, 20);
    const code = await process.exited.finally(() => clearInterval(look));
    demand(code === 0, `${this.name} ${job} ended with ${code}: ${process.stderr.trim().slice(-500)}`);
    return { ...process.spent!, peakBytes };
  }

  /** What a ledger holds that no master has open. */
  async entriesIn(db: string): Promise<Entry[]> {
    if (!this.postgres) return (await recordsIn(db)).map(({ key, value }) => [String(key), value]);
    const text = "select convert_from(key, 'UTF8') as key, record from mkv_keys where record is not null";
    const rows = await this.postgres.queryIn(basename(db), text);
    return rows.map(({ key, record }) => [key as string, record as string]);
  }
}

/** Masters of all these programs, which end with the shelf. */
export async function serveAll(
  programs: readonly Program[],
  shelf: Shelf,
  { entries, flags }: { entries?: () => Iterable<Entry>; flags?: Flags } = {},
): Promise<Served[]> {
  const served: Served[] = [];
  for (const program of programs) {
    const db = await program.makeLedger(shelf, entries?.());
    const master = await program.serve(db, { ...shelf.flags, ...flags });
    shelf.held.defer(async () => {
      await master[Symbol.asyncDispose]();
      const bug = /^.*a bug: .*$/m.exec(master.output);
      demand(!bug, `${program.name} says: ${bug?.[0]}`);
    });
    served.push({ program, master });
  }
  return served;
}

/** Masters with an S3 port, of those programs that know one. */
export async function serveS3(
  programs: readonly Program[],
  shelf: Shelf,
  entries?: () => Iterable<Entry>,
): Promise<{ served: Served; port: number }[]> {
  const all: { served: Served; port: number }[] = [];
  for (const program of programs.filter((one) => one.knows("s3port"))) {
    const { port, keys: s3keys } = await s3Flags(shelf.folder);
    const flags = { s3port: port, s3keys };
    const [served] = await serveAll([program], shelf, { ...(entries && { entries }), flags });
    all.push({ served: served!, port });
  }
  return all;
}

/** A master as one side of a comparison. */
export function sideOf({ program, master }: Served, work: (port: number) => Promise<Work>): Side {
  const measure = () => metered(master.process, () => work(master.port));
  return { name: program.name, measure, peakBytes: () => master.peakRssBytes() };
}

/** A job as one side of a comparison, each time on a new ledger with these entries. `check` looks at what it has made. */
export function jobSide(
  program: Program,
  shelf: Shelf,
  job: { name: string; flags?: Flags; entries?: readonly Entry[]; items: number; check: (made: Entry[]) => void },
): Side {
  let peak = 0;
  return {
    name: program.name,
    peakBytes: () => peak,
    async measure() {
      const db = await program.makeLedger(shelf, job.entries);
      shelf.settle();
      const { peakBytes, ...spent } = await program.run(job.name, db, { ...shelf.flags, ...job.flags });
      peak = Math.max(peak, peakBytes);
      job.check(await program.entriesIn(db));
      return { items: job.items, ...spent };
    },
  };
}

/** A bare server of Bun that answers everything as this master answers this key. It ends with the shelf. */
export async function bareSide(
  shelf: Shelf,
  { master, key }: { master: Master; key: string },
  work: (port: number) => Promise<Work>,
): Promise<Side> {
  const { status, headers } = await fetch(`http://127.0.0.1:${master.port}${key}`, { redirect: "manual" });
  for (const name of ["date", "connection", "content-length"]) headers.delete(name);
  const answer = JSON.stringify({ status, headers: Object.fromEntries(headers) });
  const script = `const answer = ${answer}; console.log("port", Bun.serve({ port: 0, fetch: () => new Response(null, answer) }).port)`;
  const bare = shelf.held.use(new RunningProcess({ command: [process.execPath, "-e", script] }));
  const port = Number((await bare.says(/port (\d+)/))[1]);
  return { name: "bare Bun.serve", measure: () => metered(bare, () => work(port)) };
}
