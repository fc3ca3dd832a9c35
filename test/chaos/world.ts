// Owns the store that chaos comes over: five volumes, one of them on a small disk where that can be had, and a master that
// ends and comes back. Two replicas of three may be acknowledged.
import { cpSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Cluster } from "../support/cluster";
import { smallDisk, whyNoDisk, type Disk } from "../support/disk";
import { temporaryFolder } from "../support/folder";
import { holding } from "../support/holding";
import { runMkv } from "../support/master";
import { until } from "../support/until";
import { startVolume, type Volume } from "../support/volume";
import { KeyModel } from "./model";

export const REPLICAS = 3;
export const MIN_REPLICAS = 2;
const VOLUMES = 5;
const DISK_BYTES = 6_000_000;
const FLAGS = [
  "-minreplicas",
  String(MIN_REPLICAS),
  "-voltimeout",
  "500ms",
  "-stalltimeout",
  "2s",
  "-clienttimeout",
  "2s",
  "-threads",
  "4",
  "-heal",
  "20",
  "-scrub",
  "10s",
  // A client that was sent to an old copy finds it, however long its volume is frozen.
  "-grace",
  "15s",
];

export class World implements AsyncDisposable {
  /** Counts the masters: a request that began under another one may have been cut off. */
  epoch = 0;
  /** How often an older index was put back. */
  putBacks = 0;
  /** How many jobs were done, and how many failed, as they may in a storm. */
  readonly jobs = { done: 0, failed: 0 };
  /** What all masters so far have said. */
  said = "";
  readonly keys: readonly KeyModel[];
  /** So many of the keys get a quarter of the requests. */
  readonly popular: number;
  #up: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly cluster: Cluster,
    readonly disk: Disk | undefined,
    { keys, popular }: { keys: number; popular: number },
  ) {
    this.popular = popular;
    // Every third has a "/" in its Base64, and so a folder of its own on the volumes.
    const name = (i: number) => (i % 3 === 0 ? `/dir/ünï-${i}/é` : `/key-${i}`);
    this.keys = Array.from({ length: keys }, (_, i) => new KeyModel(name(i)));
  }

  /** The port of the master, as soon as there is one. */
  async port(): Promise<number> {
    await this.#up;
    return this.cluster.master.port;
  }

  /** Ends the master, has something done to what it has left, and starts the next one. */
  async replaceMaster(signal: "SIGKILL" | "SIGTERM", meanwhile: () => Promise<void> = async () => {}): Promise<void> {
    this.epoch++;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#up = promise;
    promise.catch(() => {}); // Whoever asks for the port is told.
    try {
      const { master } = this.cluster;
      const exitCode = await master.stop(signal);
      if (signal === "SIGTERM" && exitCode !== 0)
        throw new Error(`the master ended with ${exitCode}: ${master.output}`);
      this.said += master.output;
      this.keys.forEach((key) => key.masterEnded());
      await meanwhile();
      await this.cluster.startMaster();
      resolve();
    } catch (error) {
      reject(error);
      throw error;
    }
  }

  /** Keeps a copy of the index and its journals; the master must have ended. */
  async keepCopy(): Promise<void> {
    rmSync(this.#copy, { recursive: true, force: true });
    for (const name of this.#indexFiles())
      cpSync(join(this.#folder, name), join(this.#copy, name), { recursive: true });
  }

  /** Puts the copy in the place of index and journals, and lets a rebuild find what it lacks; the master must have ended. */
  async putBackCopy(): Promise<void> {
    for (const name of this.#indexFiles()) rmSync(join(this.#folder, name), { recursive: true });
    cpSync(this.#copy, this.#folder, { recursive: true });
    const args = ["-db", this.cluster.db, "-volumes", this.cluster.addresses.join(","), "rebuild"];
    const rebuilt = async () => (await runMkv(args, { timeoutMs: 60_000 })).exitCode === 0;
    await until(rebuilt, { what: "all volumes can be listed", deadlineMs: 240_000 }); // They are being struck as well.
    this.putBacks++;
    this.keys.forEach((key) => key.putBack());
  }

  get #folder(): string {
    return dirname(this.cluster.db);
  }

  get #copy(): string {
    return join(this.#folder, "copy");
  }

  /** The index and its journals, by their names. */
  #indexFiles(): string[] {
    const name = basename(this.cluster.db);
    return readdirSync(this.#folder).filter((file) => file === name || file.startsWith(`${name}.journal-`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster[Symbol.asyncDispose]();
  }

  static async start(keys: { keys: number; popular: number }): Promise<World> {
    return await holding(async (held) => {
      const folder = held.use(temporaryFolder());
      const why = whyNoDisk();
      if (why) console.log(`chaos: without a disk that fills up, since none can be mounted here (${why})`);
      const disk = why ? undefined : held.use(smallDisk(DISK_BYTES));
      const volumes: Volume[] = [];
      for (let i = 1; i < VOLUMES; i++) volumes.push(held.use(await startVolume()));
      volumes.push(held.use(await startVolume(disk && { dir: disk.path })));
      const cluster = new Cluster(volumes, join(folder.path, "index"), FLAGS, undefined, held);
      await cluster.startMaster();
      return new World(cluster, disk, keys);
    });
  }
}
