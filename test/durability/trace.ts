// Owns the view of a process's system calls, by strace; and the making of a disk that fails, which strace can do too.
import { RunningProcess } from "../support/process";
import { until } from "../support/until";

/** Why nothing can be traced here; undefined if it can. */
export async function whyNoTrace(): Promise<string | undefined> {
  if (!Bun.which("strace")) return "strace is not installed";
  await using sleeper = new RunningProcess({ command: ["sleep", "60"] });
  try {
    await using _trace = await Trace.of(sleeper.pid);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

export class Trace implements AsyncDisposable {
  private constructor(private readonly strace: RunningProcess) {}

  /**
   * Watches a process and its threads.
   * @param fails a file or folder that the disk fails to sync; nothing else is watched then
   */
  static async of(pid: number, { fails }: { fails?: string } = {}): Promise<Trace> {
    const failing = fails === undefined ? [] : ["-P", fails, "-e", "inject=fsync,fdatasync:error=EIO"];
    const what = ["-e", "trace=fsync,fdatasync", ...failing];
    const strace = new RunningProcess({ command: ["strace", "-f", "-y", ...what, "-p", String(pid)] });
    try {
      await strace.says(new RegExp(`Process ${pid} attached`));
    } catch (error) {
      await strace[Symbol.asyncDispose]();
      throw error;
    }
    return new Trace(strace);
  }

  /** The paths that have been synced so far, in order. */
  synced(): string[] {
    return [...this.strace.stderr.matchAll(/\bf(?:data)?sync\(\d+<([^>]*)>/g)].map((match) => match[1]!);
  }

  /** Waits until so many syncs have been seen: strace tells of a call a moment after it. */
  async sees(count: number): Promise<void> {
    await until(() => this.synced().length >= count, { what: `${count} syncs are seen` });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.strace.ended) await this.strace.end("SIGINT"); // It lets go of the process, which goes on.
  }
}
