// Owns a stand-in for the sync service of a volume, behind a real nginx: it keeps a list of what it was asked, and says
// the truth about what is there, or what it is told to say, at once or when it is let go.
import { chmodSync, existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Cluster, type ClusterOptions } from "../support/cluster";
import { temporaryFolder } from "../support/folder";
import { holding } from "../support/holding";
import { until } from "../support/until";
import { startVolume, type Volume } from "../support/volume";

export class StandIn implements AsyncDisposable {
  /** The paths of values, below the volume's folder, that it was asked about, in the order of arrival. */
  readonly asks: string[] = [];
  /** The same of what is noted there beside the values. */
  readonly notes: string[] = [];
  /** What is said instead of the truth. */
  status: number | undefined;
  private server: Bun.Server<undefined> | undefined;
  private released = Promise.resolve();
  private release: (() => void) | undefined;

  constructor(
    private readonly dir: string,
    private readonly socket: string,
  ) {}

  /** From now on, until `letGo`, nothing is answered. */
  hold(): void {
    const { promise, resolve } = Promise.withResolvers<void>();
    [this.released, this.release] = [promise, resolve];
  }

  letGo(): void {
    this.release?.();
    this.release = undefined;
  }

  /** Waits until it has been asked so often. */
  async asked(times = 1): Promise<void> {
    await until(() => this.asks.length >= times, { what: `${times} asks to sync`, deadlineMs: 20_000 });
  }

  /** What was asked since this was called last. */
  take(): string[] {
    return this.asks.splice(0);
  }

  start(): void {
    rmSync(this.socket, { force: true });
    this.server = Bun.serve({ unix: this.socket, fetch: (request) => this.answer(request) });
    chmodSync(this.socket, 0o666);
  }

  /** As if the service had never been: nginx finds nobody at the socket. */
  async stop(): Promise<void> {
    this.letGo();
    await this.server?.stop(true);
    this.server = undefined;
    rmSync(this.socket, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  private async answer(request: Request): Promise<Response> {
    const path = new URL(request.url).pathname.replace(/^\/\.sync/, "");
    if (/\/mkv\/(id|epoch)$/.test(path)) this.notes.push(path);
    else this.asks.push(`${request.method === "POST" ? "" : `${request.method} `}${path}`);
    await this.released;
    return new Response(null, { status: this.status ?? (existsSync(join(this.dir, path)) ? 204 : 410) });
  }
}

/** A store whose volumes have a stand-in each. */
export class WatchedCluster extends Cluster {
  readonly syncs: StandIn[] = [];

  /** How often each volume was asked since this was called last, in the order of the volumes. */
  takeCounts(): number[] {
    return this.syncs.map((sync) => sync.take().length);
  }
}

/** Three volumes with stand-ins and a master under -sync; no master, if the flags are undefined. */
export async function startWatchedCluster({
  volumes = 3,
  flags = [],
  withSync = true,
}: ClusterOptions & { withSync?: boolean } = {}): Promise<WatchedCluster> {
  return await holding(async (held) => {
    const folder = held.use(temporaryFolder());
    const started: Volume[] = [];
    const syncs: StandIn[] = [];
    for (let i = 0; i < volumes; i++) {
      const home = held.use(temporaryFolder());
      const [dir, socket] = [join(home.path, "volume"), join(home.path, "sync")];
      const sync = held.use(new StandIn(dir, socket));
      sync.start();
      syncs.push(sync);
      started.push(held.use(await startVolume({ dir, env: { SYNC_SOCKET: socket } })));
    }
    const all = [...(withSync ? ["-sync"] : []), ...flags];
    const cluster = new WatchedCluster(started, join(folder.path, "index"), all, undefined, held);
    cluster.syncs.push(...syncs);
    await cluster.startMaster();
    cluster.takeCounts();
    return cluster;
  });
}
