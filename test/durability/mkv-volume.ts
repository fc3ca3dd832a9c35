// Owns a volume as `mkv volume` runs it: mkv with its sync service, below it nginx's master, below that nginx's workers.
// It can be used wherever a plain volume can, and has a folder of its own for what mkv keeps in the temporary folder.
import { request } from "../support/http";
import { mkv } from "../support/master";
import { type RunningProcess, contents, descendantsOf } from "../support/process";
import { until } from "../support/until";
import { Volume, startAs, type VolumeOptions } from "../support/volume";

const running = new Set<MkvVolume>();
process.on("exit", () => running.forEach((volume) => volume.signalTree("SIGKILL")));

export class MkvVolume extends Volume {
  /** Every process below mkv that has been seen. */
  private readonly seen = new Set<number>();

  get mkv(): RunningProcess {
    return this.process!;
  }

  /** The processes below mkv, or those of it that are left after its end. */
  nginx(): number[] {
    for (const known of [this.mkv.pid, ...this.seen]) for (const pid of descendantsOf(known)) this.seen.add(pid);
    return [...this.seen].filter((pid) => isNginx(pid));
  }

  /** Sends a signal to mkv and to all that is below it. */
  signalTree(signal: NodeJS.Signals): void {
    const below = this.nginx();
    if (!this.mkv.ended) this.mkv.signal(signal);
    for (const pid of below) signalTo(pid, signal);
  }

  /** Asks the sync service, by way of nginx. */
  async sync(path: string, headers: Record<string, string> = {}): Promise<number> {
    return (await request(this.port, { method: "POST", target: `/.sync${path}`, headers, body: "" })).status;
  }

  override async start(options?: { movable?: boolean }): Promise<void> {
    running.add(this);
    await super.start(options);
  }

  override async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    this.nginx();
    return await this.mkv.end(signal);
  }

  override async kill(): Promise<void> {
    this.signalTree("SIGKILL");
    await this.mkv.exited;
  }

  /** Kills mkv alone. What it says from then on is what nginx says. */
  async killMkvAlone(): Promise<void> {
    this.nginx();
    this.mkv.signal("SIGKILL");
    await until(() => !isAlive(this.mkv.pid), { what: "mkv is gone" });
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    if (this.process) {
      this.signalTree("SIGKILL");
      await this.mkv.exited;
    }
    running.delete(this);
    await this.home[Symbol.asyncDispose]();
  }

  protected override command(): string[] {
    return mkv(["volume", this.dir]);
  }

  protected override hasWorkers(): boolean {
    return this.nginx().length > 1;
  }
}

/** A new `mkv volume`, in a folder of its own unless one is named. */
export function startMkvVolume(options: VolumeOptions = {}): Promise<MkvVolume> {
  return startAs(MkvVolume, options);
}

export function isAlive(pid: number): boolean {
  return !/^\d+ \(.*\) [ZX]/.test(contents(`/proc/${pid}/stat`) || "0 () X");
}

function isNginx(pid: number): boolean {
  return isAlive(pid) && contents(`/proc/${pid}/comm`).startsWith("nginx");
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already.
  }
}
