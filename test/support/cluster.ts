// Owns a whole store: volumes, a master over them, and the folder of its index.
import { join } from "node:path";
import { temporaryFolder } from "./folder";
import { holding } from "./holding";
import { filesAt, remainsOn, type ValueFile } from "./files";
import { request, type Answer, type Ask } from "./http";
import { startMaster, type Master } from "./master";
import { passwordFile, type Login } from "./password";
import { until } from "./until";
import { targetOf } from "./values";
import { startVolume, type Volume } from "./volume";

export interface ClusterOptions {
  volumes?: number;
  /** What `-db` is given; a folder of its own without. */
  db?: string;
  flags?: string[];
  /** The user that the volumes let in; without one they let in everybody. */
  login?: Login;
  env?: Record<string, string>;
  /** The same for the volumes. */
  volumeEnv?: Record<string, string>;
}

export class Cluster implements AsyncDisposable {
  master!: Master;

  constructor(
    readonly volumes: Volume[],
    readonly db: string,
    private readonly flags: string[],
    private readonly env: Record<string, string> | undefined,
    private readonly held: AsyncDisposableStack,
  ) {}

  get addresses(): string[] {
    return this.volumes.map((volume) => volume.address);
  }

  /** One request to the master. */
  ask(method: string, target: string, rest: Omit<Ask, "method" | "target"> = {}): Promise<Answer> {
    return request(this.master.port, { method, target, ...rest });
  }

  /** Stores a value, as soon as volumes that a busy machine kept silent answer again; what the program says if not is in the error. */
  async store(key: string, value: string | Uint8Array = `value of ${key}`): Promise<void> {
    const untilMs = performance.now() + 20_000;
    for (;;) {
      const { status, text } = await this.ask("PUT", targetOf(key), { body: value });
      if (status === 201) return;
      if (status !== 503 || performance.now() > untilMs) throw new Error(`PUT ${key}: ${status} ${text}`);
      await Bun.sleep(100);
    }
  }

  /** Waits until writing works, after volumes were down: the master is careful with those that have just come back. */
  async recovered(): Promise<void> {
    const written = async () => (await this.ask("PUT", "/recovered", { body: "x" })).status === 201;
    await until(written, { what: "writing works again", deadlineMs: 30_000 });
    const deleted = async () => (await this.ask("DELETE", "/recovered")).status === 204;
    await until(deleted, { what: "deleting works again", deadlineMs: 30_000 });
  }

  /** One more master over the same ledger, where that can be shared; the caller disposes of it. */
  anotherMaster(flags: string[] = this.flags, { db = this.db }: { db?: string } = {}): Promise<Master> {
    return startMaster({ db, volumes: this.addresses, flags, env: this.env });
  }

  /** Another master over the same index and volumes, started when the one before has ended. */
  async startMaster(flags: string[] = this.flags, volumes: string[] = this.addresses): Promise<Master> {
    if (this.master && !this.master.process.ended) await this.master.stop();
    this.master = await startMaster({ db: this.db, volumes, flags, env: this.env });
    return this.master;
  }

  /**
   * Starts the first master, when all volumes are up. On a busy machine one may not have answered in time, and keys would
   * not lie where they belong: then it is started again.
   */
  async startWhole(): Promise<void> {
    do await this.startMaster();
    while (this.master.output.includes("not heard of yet"));
  }

  /** The files of this key, one for each volume that holds it, in the order of the volumes. */
  filesOf(path: string): ValueFile[] {
    return this.volumes.flatMap(({ dir }) => filesAt(dir, path));
  }

  /** Every value on every volume, whole or still being received. */
  remains(): string[] {
    return this.volumes.flatMap(({ dir }) => remainsOn(dir));
  }

  /** The keys of a list. */
  async keys(operation: "list" | "unlinked", prefix = "/"): Promise<string[]> {
    return JSON.parse((await this.ask("GET", `${prefix}?${operation}`)).text).keys;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.master?.[Symbol.asyncDispose]();
    await this.held.disposeAsync();
  }
}

/** Three volumes and a master, unless the options say otherwise. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { volumes = 3, db, flags = [], login, env, volumeEnv = {} } = options;
  return await holding(async (held) => {
    const folder = held.use(temporaryFolder());
    const auth = login && passwordFile(folder.path, login);
    const started: Volume[] = [];
    for (let i = 0; i < volumes; i++) started.push(held.use(await startVolume({ auth, env: volumeEnv })));
    const cluster = new Cluster(started, db ?? join(folder.path, "index"), flags, env, held);
    await cluster.startWhole();
    return cluster;
  });
}

/** Four volumes, a master, and two keys: `/live`, and `/soft`, which is unlinked. */
export async function startLiveAndSoft(): Promise<Cluster> {
  const cluster = await startCluster({ volumes: 4 });
  await cluster.store("/live");
  await cluster.store("/soft");
  await cluster.ask("UNLINK", "/soft");
  return cluster;
}
