// Owns a volume server of a test: the real ./volume script, which becomes a real nginx.
import { chmodSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { request } from "./http";
import { temporaryFolder, type Folder } from "./folder";
import { holding } from "./holding";
import { freePort } from "./ports";
import { RunningProcess } from "./process";
import { until } from "./until";

export const CHECKOUT = join(import.meta.dir, "..", "..");
const SCRIPT = join(CHECKOUT, "volume");
const START_DEADLINE_MS = 40_000;
const STILL_TAKEN = /in use|served by another/i; // The port, or the folder by a worker that is about to die.

export interface VolumeOptions {
  dir?: string;
  port?: number;
  /** Path of a password file. */
  auth?: string | undefined;
  env?: Record<string, string>;
}

export class Volume implements AsyncDisposable {
  protected process: RunningProcess | undefined;

  /** @param home goes with the volume; what it keeps in the temporary folder of the machine lies there */
  constructor(
    readonly dir: string,
    public port: number,
    private readonly environment: Record<string, string>,
    protected readonly home: Folder,
  ) {
    mkdirSync(this.temporary, { recursive: true });
    chmodSync(this.temporary, 0o1777);
  }

  /** What it takes for the temporary folder of the machine. */
  get temporary(): string {
    return join(this.home.path, "tmp");
  }

  /** The folders of configurations and sockets that are there now. */
  runFolders(): string[] {
    return readdirSync(this.temporary).filter((name) => name.startsWith("mkv-volume."));
  }

  /** Its processes: the script, nginx, its workers. */
  processes(): number[] {
    const process = this.running();
    return [process.pid, ...process.children()];
  }

  /** Sends a signal to the script alone. Resolves to the exit code when all is over. */
  signal(signal: NodeJS.Signals): Promise<number> {
    const process = this.running();
    process.children();
    process.signal(signal);
    return process.exited;
  }

  get address(): string {
    return `localhost:${this.port}`;
  }

  get output(): string {
    return `${this.process?.stdout ?? ""}${this.process?.stderr ?? ""}`;
  }

  /** Starts nginx and waits until it answers; a port that was free a moment ago may be taken: until the deadline, again. */
  async start({ movable = false } = {}): Promise<void> {
    const end = performance.now() + START_DEADLINE_MS;
    for (;;) {
      const env = { TMPDIR: this.temporary, ...this.environment, PORT: String(this.port) };
      this.process = new RunningProcess({ command: this.command(), env });
      if (await this.answers()) return;
      const output = this.output;
      await this.process[Symbol.asyncDispose]();
      if (!STILL_TAKEN.test(output) || performance.now() > end) {
        throw new Error(`${this.command().join(" ")} did not start on port ${this.port}: ${output}`);
      }
      if (movable) this.port = await freePort();
    }
  }

  /** As an operator stops it. */
  async stop(): Promise<number> {
    return this.running().end("SIGTERM");
  }

  /** As a power cut does. */
  async kill(): Promise<void> {
    const process = this.running();
    process.signalAll("SIGKILL");
    await process.exited;
  }

  /** Connections are still accepted by the kernel, nothing is answered. */
  freeze(): void {
    this.running().signalAll("SIGSTOP");
  }

  thaw(): void {
    this.running().signalAll("SIGCONT");
  }

  async restart(): Promise<void> {
    if (this.process && !this.process.ended) await this.stop();
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process?.[Symbol.asyncDispose]();
    await this.home[Symbol.asyncDispose]();
  }

  /** What serves it. */
  protected command(): string[] {
    return [SCRIPT, this.dir];
  }

  /** Whether there is more than one process of nginx. */
  protected hasWorkers(): boolean {
    return this.process!.children().length > 1;
  }

  private running(): RunningProcess {
    if (!this.process || this.process.ended) throw new Error(`volume ${this.address} is not running: ${this.output}`);
    return this.process;
  }

  /** False if the process ended instead. */
  private async answers(): Promise<boolean> {
    const process = this.process!;
    const state = await until(
      async () => {
        if (process.ended) return "ended";
        const answer = await request(this.port, { target: "/", timeoutMs: 1_000 }).catch(() => undefined);
        return answer && !process.ended && this.hasWorkers() ? "answers" : undefined;
      },
      { what: `volume ${this.address} answers`, deadlineMs: START_DEADLINE_MS },
    );
    return state === "answers";
  }
}

/** A new volume, in a folder of its own unless one is named; it goes with everything in it when disposed of. */
export function startVolume(options: VolumeOptions = {}): Promise<Volume> {
  return startAs(Volume, options);
}

/** The same of a kind of its own. */
export async function startAs<V extends Volume>(
  kind: new (...how: ConstructorParameters<typeof Volume>) => V,
  { dir, port, auth, env = {} }: VolumeOptions,
): Promise<V> {
  return await holding(async (held) => {
    const home = temporaryFolder();
    const environment = auth === undefined ? env : { ...env, AUTH: auth };
    const place = dir ?? join(home.path, "volume");
    const volume = held.use(new kind(place, port ?? (await freePort()), environment, home));
    await volume.start({ movable: port === undefined });
    return volume;
  });
}
