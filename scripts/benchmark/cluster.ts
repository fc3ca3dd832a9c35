// Owns the volume servers of a workload: the script ./volume on folders of the bench.
import { statSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { join, resolve } from "node:path";
import { type Topology } from "../../src/format/placement";
import { type Child, end, lastLine, launch } from "./children";
import { BenchError } from "./failure";
import { type Home } from "./home";
import { answers } from "./wire";

export const root = resolve(import.meta.dir, "../..");

/** A volume server and the folder behind it. */
export type Volume = { readonly port: number; readonly address: string; readonly folder: string };

const startWithinMs = 15_000;

/** Volume servers with nothing on them, in a folder that is removed when they are disposed of. */
export class Cluster implements AsyncDisposable {
  readonly #children: Child[] = [];
  readonly #home: Home;
  readonly volumes: Volume[] = [];
  readonly folder: string;
  readonly subvolumes: number;

  private constructor(home: Home, name: string, subvolumes: number) {
    this.#home = home;
    this.folder = home.folder(name);
    this.subvolumes = subvolumes;
  }

  static async start(home: Home, name: string, { volumes = 3, subvolumes = 10 } = {}): Promise<Cluster> {
    const cluster = new Cluster(home, name, subvolumes);
    try {
      for (let i = 1; i <= volumes; i++) await cluster.#add(join(cluster.folder, `volume${i}`));
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The first volumes of it, three replicas of each value. */
  topology(volumes = this.volumes.length): Topology {
    const names = this.volumes.slice(0, volumes).map(({ address }) => address);
    return { volumes: names, replicas: Math.min(3, volumes), subvolumes: this.subvolumes };
  }

  /** Flags that tell a master of its first volumes. */
  flags(volumes = this.volumes.length): string[] {
    const { volumes: names, replicas, subvolumes } = this.topology(volumes);
    return ["-volumes", names.join(","), "-replicas", String(replicas), "-subvolumes", String(subvolumes)];
  }

  /** Who nginx works as, and so owns what it stores. */
  get owner(): { uid: number; gid: number } {
    return statSync(this.volumes[0]!.folder);
  }

  /** Where a record says that a value is, as a file. */
  fileOf(volume: string, path: string): string {
    const at = this.volumes.find(({ address }) => volume === address || volume.startsWith(`${address}/`));
    if (!at) throw new BenchError(`${volume} is none of the volumes`);
    return at.folder + volume.slice(at.address.length) + path;
  }

  async #add(folder: string): Promise<void> {
    const port = await freePort();
    const log = `${folder}.log`;
    const child = launch([join(root, "volume"), folder], { log, env: { PORT: String(port), AUTH: "" } });
    this.#children.push(child);
    await ready(child, port, { log, withinMs: startWithinMs });
    this.volumes.push({ port, address: `localhost:${port}`, folder });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#children.map(end));
    this.#home.remove(this.folder);
  }
}

/** A port that nobody listens on now. */
export async function freePort(): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer().once("error", reject);
  server.listen(0, () => {
    const { port } = server.address() as AddressInfo;
    server.close(() => resolve(port));
  });
  return await promise;
}

/** Waits until a process answers requests on its port. Throws BenchError with what it said last if it does not. */
export async function ready(
  child: Child,
  port: number,
  { log, withinMs }: { log: string; withinMs: number },
): Promise<void> {
  const end = performance.now() + withinMs;
  while (!(await answers(port))) {
    const hasEnded = child.exitCode !== null || child.signalCode !== null;
    if (hasEnded || performance.now() > end) {
      const said = lastLine(await Bun.file(log).text());
      throw new BenchError(`${hasEnded ? "it ended at once" : `nothing answers on port ${port}`}: ${said}`);
    }
    await Bun.sleep(1);
  }
}
