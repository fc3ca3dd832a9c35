// Owns the processes that tests start: each one is ended by whoever started it, by its id, together with its children,
// and whatever is still there when the test runner leaves is killed then.
import { closeSync, openSync, readFileSync, readSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until, within } from "./until";

const STOP_DEADLINE_MS = 20_000;
const TICKS_A_SECOND = 100; // Of the kernel's times, for all programs.
const running = new Set<RunningProcess>();
process.on("exit", () => running.forEach((child) => child.signalAll("SIGKILL")));

export interface Launch {
  command: string[];
  env?: Record<string, string> | undefined;
  cwd?: string;
  /** What it reads on its standard input: nothing, unless told. */
  stdin?: Bun.BunFile | Uint8Array | undefined;
}

/** What a process took from its start to its end. */
export interface Spent {
  seconds: number;
  cpuSeconds: number;
}

export class RunningProcess implements AsyncDisposable {
  readonly pid: number;
  /** The exit code; 128 + the signal's number if a signal ended it. */
  readonly exited: Promise<number>;
  ended = false;
  /** Once it has ended. */
  spent: Spent | undefined;
  private readonly outputs = [new Output(), new Output()] as const;
  private readonly knownChildren = new Map<number, string>(); // Process id -> start time: ids are used again.

  constructor({ command, env = {}, cwd = process.cwd(), stdin }: Launch) {
    const startMs = performance.now();
    const child = Bun.spawn(command, {
      cwd,
      env: { ...cleanEnvironment(), ...env },
      stdin: stdin ?? "ignore",
      stdout: this.outputs[0].file,
      stderr: this.outputs[1].file,
    });
    this.pid = child.pid;
    running.add(this);
    this.exited = child.exited.then((code) => {
      this.ended = true;
      const seconds = (performance.now() - startMs) / 1000;
      this.spent = { seconds, cpuSeconds: Number(child.resourceUsage()!.cpuTime.total) / 1e6 };
      this.signalChildren("SIGKILL"); // A killed nginx master leaves its workers behind, with the port and the pipes.
      running.delete(this);
      for (const output of this.outputs) output.close();
      return code;
    });
  }

  /** What it has said so far. */
  get stdout(): string {
    return this.outputs[0].text;
  }

  get stderr(): string {
    return this.outputs[1].text;
  }

  /** The children and all that they have started, as the kernel lists them now. */
  children(): number[] {
    if (this.ended) return [];
    const found = descendantsOf(this.pid);
    found.forEach((pid) => this.knownChildren.set(pid, startTime(pid)));
    return found;
  }

  signal(signal: NodeJS.Signals): void {
    send(this.pid, signal);
  }

  /** Children first when it is to die, so that none is orphaned; they are looked up before the parent is gone. */
  signalAll(signal: NodeJS.Signals): void {
    this.children();
    if (!this.ended) send(this.pid, signal);
    this.signalChildren(signal);
  }

  /** Sends the signal and waits for the end; kills, and throws, if that takes too long. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    if (this.ended) return this.exited;
    this.children();
    this.signal(signal);
    try {
      return await within(this.exited, {
        what: `process ${this.pid} ends after ${signal}`,
        deadlineMs: STOP_DEADLINE_MS,
      });
    } catch (error) {
      this.signalAll("SIGKILL");
      throw error;
    }
  }

  /** Waits until the process has said this on stdout or stderr; throws with what it said if it ends before. */
  async says(pattern: RegExp, deadlineMs = 40_000): Promise<RegExpMatchArray> {
    return until(
      async () => {
        const match = `${this.stdout}\n${this.stderr}`.match(pattern);
        if (!match && this.ended) {
          throw new Error(
            `ended with code ${await this.exited} before it said ${pattern}: ${this.stdout}${this.stderr}`,
          );
        }
        return match;
      },
      { what: `process ${this.pid} says ${pattern}`, deadlineMs },
    );
  }

  /** Kilobytes from /proc/PID/status, as bytes: VmRSS is now, VmHWM the peak so far. */
  memoryBytes(field: "VmRSS" | "VmHWM"): number {
    const match = contents(`/proc/${this.pid}/status`).match(new RegExp(`^${field}:\\s+(\\d+) kB`, "m"));
    if (!match) throw new Error(`no ${field} of process ${this.pid}`);
    return Number(match[1]) * 1024;
  }

  /** CPU that its threads have taken so far, those that have ended among them. */
  cpuSeconds(): number {
    const [user, system] = statOf(this.pid).slice(11, 13);
    if (system === undefined) throw new Error(`process ${this.pid} has ended`);
    return (Number(user) + Number(system)) / TICKS_A_SECOND;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signalAll("SIGKILL");
    await this.exited;
  }

  private signalChildren(signal: NodeJS.Signals): void {
    for (const [pid, started] of this.knownChildren) {
      if (started && startTime(pid) === started) send(pid, signal);
    }
  }
}

/** The processes below one, whoever is nearer to it first. */
export function descendantsOf(parent: number): number[] {
  const children = listing(`/proc/${parent}/task`).flatMap((thread) =>
    contents(`/proc/${parent}/task/${thread}/children`).split(" ").filter(Boolean).map(Number),
  );
  return [...children, ...children.flatMap(descendantsOf)];
}

/** Clock ticks from boot to the start of the process, the 22nd field of its stat; empty if there is none. */
function startTime(pid: number): string {
  return statOf(pid)[19] ?? "";
}

/** The fields of /proc/PID/stat from the third on, which follows the name. */
function statOf(pid: number): string[] {
  return contents(`/proc/${pid}/stat`).split(") ").at(-1)!.split(" ");
}

/** The environment of the test run without what would change the program's behaviour. */
function cleanEnvironment(): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !/^(MKV|MKV_.*|PORT|BIND|AUTH|LINK_KEY)$/.test(name)) kept[name] = value;
  }
  return kept;
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already, which is what a signal to it was to bring about.
  }
}

const bytes = Buffer.alloc(65_536);

/** What a process writes, in a file without a name: of a pipe Bun misses something at times. */
class Output {
  readonly file: number;
  private readonly decoder = new TextDecoder();
  private at = 0;
  private read = "";
  private isOpen = true;

  constructor() {
    const path = join(tmpdir(), `mkv-test-output-${crypto.randomUUID()}`);
    this.file = openSync(path, "a+");
    rmSync(path);
  }

  get text(): string {
    for (let count = 1; this.isOpen && count > 0;) {
      count = readSync(this.file, bytes, 0, bytes.length, this.at);
      this.at += count;
      this.read += this.decoder.decode(bytes.subarray(0, count), { stream: true });
    }
    return this.read;
  }

  /** Nobody writes any more. */
  close(): void {
    void this.text;
    this.isOpen = false;
    closeSync(this.file);
  }
}

/** The names in a folder of /proc; none if its process has ended. */
export function listing(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** A file of /proc; empty if its process has ended. */
export function contents(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
