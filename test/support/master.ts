// Owns the program under test: the binary that MKV names, or src/main.ts of this checkout.
import { join, resolve } from "node:path";
import { temporaryFolder, type Folder } from "./folder";
import { graceFlags } from "./grace";
import { type Launch, RunningProcess } from "./process";
import { within } from "./until";
import { CHECKOUT } from "./volume";

export interface MasterOptions {
  db?: string;
  volumes: string[];
  flags?: string[];
  env?: Record<string, string> | undefined;
  /** The command line of what starts it, as another user or in a namespace, and becomes it. */
  by?: string[];
}

export interface Outcome {
  exitCode: number;
  stdout: string;
  stderr: string;
}

export class Master implements AsyncDisposable {
  constructor(
    readonly process: RunningProcess,
    readonly db: string,
    readonly port: number,
    private readonly folder?: Folder,
  ) {}

  get url(): string {
    return `http://localhost:${this.port}`;
  }

  get output(): string {
    return this.process.stdout + this.process.stderr;
  }

  rssBytes(): number {
    return this.process.memoryBytes("VmRSS");
  }

  peakRssBytes(): number {
    return this.process.memoryBytes("VmHWM");
  }

  /** Asks it to end and gives its exit code. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    return this.process.end(signal);
  }

  async kill(): Promise<void> {
    await this.process.end("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process[Symbol.asyncDispose]();
    await this.folder?.[Symbol.asyncDispose]();
  }
}

/** The command line of the program under test with these arguments. */
export function mkv(args: string[]): string[] {
  const binary = process.env.MKV;
  return binary ? [resolve(binary), ...args] : [process.execPath, join(CHECKOUT, "src", "main.ts"), ...args];
}

/** A master on a port of the kernel's choice, ready for requests. */
export async function startMaster({ db, volumes, flags = [], env, by = [] }: MasterOptions): Promise<Master> {
  const folder = db === undefined ? temporaryFolder() : undefined;
  const index = db ?? join(folder!.path, "index");
  const heal = flags.includes("-heal") ? [] : ["-heal", "0"]; // Most tests say themselves what is brought home, and when.
  const threads = flags.includes("-threads") ? [] : ["-threads", "2"]; // What one thread does well, two may not.
  const args = [
    "-port",
    "0",
    "-db",
    index,
    "-volumes",
    volumes.join(","),
    ...threads,
    ...heal,
    ...graceFlags(flags),
    ...flags,
    "server",
  ];
  const process = new RunningProcess({ command: [...by, ...mkv(args)], env });
  try {
    const [, port] = await process.says(/listening on port (\d+)/);
    return new Master(process, index, Number(port), folder);
  } catch (error) {
    await process[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
    throw error;
  }
}

/** Runs the program to its end. */
export async function runMkv(
  args: string[],
  { env, stdin, timeoutMs = 40_000 }: Pick<Launch, "env" | "stdin"> & { timeoutMs?: number } = {},
): Promise<Outcome> {
  await using process = new RunningProcess({ command: mkv(args), env, stdin });
  const what = `mkv ${args.join(" ")} ends`;
  const exitCode = await within(process.exited, { what, deadlineMs: timeoutMs });
  return { exitCode, stdout: process.stdout, stderr: process.stderr };
}
