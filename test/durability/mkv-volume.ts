// Owns a volume as `mkv volume` runs it: mkv with its sync service, below it nginx's master, below that nginx's workers.
// It can be used wherever a plain volume can, and has a folder of its own for what mkv keeps in the temporary folder.
import { join } from "node:path";
import { temporaryFolder, type Folder } from "../support/folder";
import { request } from "../support/http";
import { mkv } from "../support/master";
import { freePort } from "../support/ports";
import { RunningProcess, contents, listing } from "../support/process";
import { until } from "../support/until";
import { Volume, type VolumeOptions } from "../support/volume";

const START_DEADLINE_MS = 40_000;
const STILL_TAKEN = /in use|served by another/i;
const running = new Set<MkvVolume>();
process.on("exit", () => running.forEach((volume) => volume.signalTree("SIGKILL")));

export class MkvVolume extends Volume {
  mkv!: RunningProcess;
  /** Every process below mkv that has been seen. */
  private readonly seen = new Set<number>();

  constructor(
    dir: string,
    port: number,
    private readonly variables: Record<string, string>,
    home: Folder,
  ) {
    super(dir, port, variables, home);
  }

  override get output(): string {
    return this.mkv.stdout + this.mkv.stderr;
  }

  /** The processes below mkv, or those of it that are left after its end. */
  nginx(): number[] {
    for (const known of [this.mkv.pid, ...this.seen]) for (const pid of childrenOf(known)) this.seen.add(pid);
    for (const pid of this.seen) for (const child of childrenOf(pid)) this.seen.add(child);
    return [...this.seen].filter((pid) => isNginx(pid));
  }

  /** Sends a signal to mkv and to all that is below it. */
  signalTree(signal: NodeJS.Signals): void {
    const below = this.nginx();
    if (!this.mkv.ended) this.mkv.signal(signal);
    for (const pid of below) signalTo(pid, signal);
  }

  /** Asks the sync service, by way of nginx. */
  async sync(path: string, headers: Record<string, string> = {}, method = "POST"): Promise<number> {
    const ask = { method, target: `/.sync${path}`, headers, body: method === "POST" ? "" : undefined! };
    return (await request(this.port, ask)).status;
  }

  override async start({ movable = false } = {}): Promise<void> {
    const end = performance.now() + START_DEADLINE_MS;
    for (;;) {
      const env = { ...this.variables, PORT: String(this.port), TMPDIR: this.temporary };
      this.mkv = new RunningProcess({ command: mkv(["volume", this.dir]), env });
      running.add(this);
      if (await this.isServing()) return;
      await this.mkv.exited;
      if (!STILL_TAKEN.test(this.output) || performance.now() > end) {
        throw new Error(`mkv volume did not start on port ${this.port}: ${this.output}`);
      }
      if (movable) this.port = await freePort();
    }
  }

  override async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    this.nginx();
    return await this.mkv.end(signal);
  }

  override async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.signalTree(signal);
    await this.mkv.exited;
  }

  /** Kills mkv alone. What it says from then on is what nginx says. */
  async killMkvAlone(): Promise<void> {
    this.nginx();
    this.mkv.signal("SIGKILL");
    await until(() => !isAlive(this.mkv.pid), { what: "mkv is gone" });
  }

  override async restart(): Promise<void> {
    if (!this.mkv.ended) await this.stop();
    await this.start();
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    if (this.mkv) {
      this.signalTree("SIGKILL");
      await this.mkv.exited;
    }
    running.delete(this);
    await this.home[Symbol.asyncDispose]();
  }

  private async isServing(): Promise<boolean> {
    const state = await until(
      async () => {
        if (this.mkv.ended) return "ended";
        const answer = await request(this.port, { target: "/", timeoutMs: 1_000 }).catch(() => undefined);
        return answer && !this.mkv.ended && this.nginx().length > 1 ? "serving" : undefined;
      },
      { what: `${this.address} is served`, deadlineMs: START_DEADLINE_MS },
    );
    return state === "serving";
  }
}

/** A new `mkv volume`, in a folder of its own unless one is named. */
export async function startMkvVolume({ dir, port, auth, env = {} }: VolumeOptions = {}): Promise<MkvVolume> {
  const home = temporaryFolder();
  const variables = auth === undefined ? env : { ...env, AUTH: auth };
  const volume = new MkvVolume(dir ?? join(home.path, "volume"), port ?? (await freePort()), variables, home);
  try {
    await volume.start({ movable: port === undefined });
  } catch (error) {
    await volume[Symbol.asyncDispose]();
    throw error;
  }
  return volume;
}

export function isAlive(pid: number): boolean {
  return !/^\d+ \(.*\) [ZX]/.test(contents(`/proc/${pid}/stat`) || "0 () X");
}

function isNginx(pid: number): boolean {
  return isAlive(pid) && contents(`/proc/${pid}/comm`).startsWith("nginx");
}

function childrenOf(pid: number): number[] {
  return listing(`/proc/${pid}/task`).flatMap((thread) =>
    contents(`/proc/${pid}/task/${thread}/children`).split(" ").filter(Boolean).map(Number),
  );
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already.
  }
}
