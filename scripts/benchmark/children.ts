// Owns the processes that the bench starts: all are known until they end, and none outlives it.
import { openSync, readFileSync, closeSync } from "node:fs";
import { BenchError, demand } from "./failure";

/** A process whose output goes to a file, or nowhere. */
export type Child = Bun.Subprocess<"ignore", "pipe" | "ignore" | number, "pipe" | "ignore" | number>;

/** Resident memory of a process. `ownBytes` is what it has for itself now, without mapped files. */
export type Memory = { readonly peakBytes: number; readonly nowBytes: number; readonly ownBytes: number };

const running = new Set<Child>();
let isOver = false;
const endWithinMs = 70_000;

/** Starts a process in the background; what it says goes to the end of the file `log`. */
export function launch(command: string[], options: { log: string; env?: Record<string, string> }): Child {
  demand(!isOver, "the bench is stopping");
  const log = openSync(options.log, "a");
  const env = { ...process.env, ...options.env } as Record<string, string>;
  const child: Child = known(Bun.spawn(command, { env, stdin: "ignore", stdout: log, stderr: log }));
  closeSync(log);
  return child;
}

/** Runs a process to its end and gives what it printed. Throws BenchError if it failed. */
export async function outputOf(command: string[]): Promise<string> {
  demand(!isOver, "the bench is stopping");
  const child = known(Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" }));
  const [text, complaint, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code === 0) return text;
  throw new BenchError(`${command.slice(0, 2).join(" ")} ended with ${code}: ${lastLine(complaint) || lastLine(text)}`);
}

/** Asks a process to end, and waits for that; ends it the hard way if it takes too long. */
export async function end(child: Child): Promise<void> {
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), endWithinMs);
  await child.exited;
  clearTimeout(timer);
}

/** Ends all processes that still run; no more are started after that. */
export async function endAll(): Promise<void> {
  isOver = true;
  await Promise.all([...running].map(end));
}

/** What a process uses; undefined once it has ended. */
export function memoryOf(pid: number): Memory | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const read = (field: string) => 1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]);
    const memory = { peakBytes: read("VmHWM"), nowBytes: read("VmRSS"), ownBytes: read("RssAnon") };
    return Number.isNaN(memory.peakBytes) ? undefined : memory;
  } catch {
    return undefined; // It has ended.
  }
}

/** The last line of a text that says anything. */
export function lastLine(text: string): string {
  return text.trimEnd().split("\n").at(-1) ?? "";
}

function known<T extends Child>(child: T): T {
  running.add(child);
  void child.exited.then(() => running.delete(child));
  return child;
}
