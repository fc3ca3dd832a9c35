// Owns the life of a master: open, serve, drain, close; on as many threads as are asked for. Each thread has a server on
// the shared port, a handle on the shared index and a journal of its own. One that dies takes the process along: half a
// master would lose every other request.
import { once } from "node:events";
import pkg from "../../package.json";
import { Admission } from "../api/admission";
import { Authorizer } from "../api/authorize";
import { Lists } from "../api/native/list";
import { Keys } from "../api/s3/signature";
import { serveS3 } from "../api/s3/serve";
import { serveAdmin } from "../api/admin/dialect";
import { Observer } from "../api/admin/observer";
import { type Serving, requireFreePort } from "../api/listening";
import { type Service, serve } from "../api/native/serve";
import { hasCode, reasonOf } from "../errors";
import { serverOf } from "../format/volume";
import { counted, log, warn } from "../log";
import { startHealing } from "../store/care/healing";
import { tellOfVerify } from "../store/job-memory";
import { maintain } from "../store/maintain";
import { type Store } from "../store/store";
import { sweepUploads } from "../store/uploads";
import { noService } from "../volumes/change";
import { warmUp } from "../volumes/upload-stream";
import { type Volumes } from "../volumes/volumes";
import { type Config } from "./config";
import { readS3Keys } from "./secrets";
import { type OpenedStore, type Shared, joinStore, openStore } from "./open";
import { type ThreadContext, inThread } from "./threads";

/**
 * Serves until `stop` is aborted, then ends the running requests and closes the index.
 * @param options.reload has a `reload` when the access keys are to be read anew
 * @param options.entry URL of the program, which worker threads run too
 * @throws MkvError failed if the index or the port is not to be had, or a thread has died
 */
export async function runServer(
  config: Config,
  { stop, reload, entry }: { stop: AbortSignal; reload?: EventTarget; entry: string },
): Promise<void> {
  const { bind, port, adminport, s3port } = config;
  for (const [flag, wanted] of Object.entries({ "-port": port, "-adminport": adminport, "-s3port": s3port }))
    if (wanted !== 0) requireFreePort({ port: wanted, bind }, flag);
  const keys = config.s3keys === undefined ? undefined : keysIn(config.s3keys, reload);
  await warmUp();
  await using opened = await openStore(config, { purpose: "server" });
  const { store } = opened;
  if (config.sync) await requireSync(store);
  const service = startService(config, store);
  const s3 = keys && (await startS3(config, { store, keys }));
  const drain = new AbortController();
  const workers = startWorkers({ ...config, port: service.port }, { opened, entry, stop: drain.signal });
  const died = Promise.race(workers.map(({ ended }) => ended)); // None ends before it is asked to.
  died.catch(opened.abandon);
  await Promise.race([Promise.all(workers.map(({ serving }) => serving)), died]);
  await using _care = maintain(store, opened.watch);
  await using _sweeping = keys && sweepUploads(store);
  await using healing = startHealing(store, { bytesPerSecond: config.heal * 1e6, scrubMs: config.scrub });
  using _verified = tellOfVerify(store.ledger.memory);
  const observer = new Observer(store, { ports: [service.port, s3port], isAsked: adminport !== 0 });
  const sources = { store, observer, version: pkg.version, threads: config.threads, stop };
  using _admin = adminport === 0 ? undefined : serveAdmin(sources, { port: adminport, bind });
  log(`listening on ${whatIsServed(config, store.volumes, service.port)}`);
  using _observing = observer.start();

  if (!stop.aborted) await Promise.race([once(stop, "abort"), died]);
  log("stopping: running requests end first");
  drain.abort();
  const drained = [service.drain(), s3?.drain(), Promise.allSettled(workers.map(({ ended }) => ended))];
  await Promise.all([...drained, healing[Symbol.asyncDispose]()]); // What it copies may take as long as a request.
}

function startS3(config: Config, { store, keys }: { store: Store; keys: Keys }) {
  const { s3port, s3domain: domain, clienttimeout: clienttimeoutMs } = config;
  return serveS3({ store, keys, clienttimeoutMs }, { ...servingAt(s3port, config), domain });
}

/** How each thread serves at this port. */
function servingAt(port: number, { bind, v: verbose, threads, topology: { replicas } }: Config): Serving {
  return { port, bind, verbose, shared: threads > 1, admission: new Admission({ replicas, threads }) };
}

/**
 * The keys of the S3 port. In the first thread they are read anew whenever `reload` says so, and the others are told.
 * @throws MkvError failed
 */
function keysIn(file: string, reload?: EventTarget): Keys {
  const others = new BroadcastChannel("access keys"); // Opened before the file is read: what comes earlier is in it.
  others.unref();
  const keys = new Keys(readS3Keys(file));
  others.onmessage = ({ data }) => keys.replace(data as ReadonlyMap<string, string>);
  reload?.addEventListener("reload", () => {
    try {
      const secrets = readS3Keys(file);
      keys.replace(secrets);
      others.postMessage(secrets);
      log(`${file} was read anew: ${counted(secrets.size, "access key")}`);
    } catch (error) {
      warn(`${reasonOf(error)}; the access keys of before go on to hold`);
    }
  });
  return keys;
}

function whatIsServed(config: Config, { health }: Volumes, port: number): string {
  const { topology, threads, adminport, s3port, bind } = config;
  const { volumes, replicas } = topology;
  const silent = volumes.filter((volume) => !health.isKnown(volume)).length;
  const suffix = silent === 0 ? "" : ` (${silent} not heard of yet)`;
  return [
    bind === undefined ? `port ${port}` : `port ${port} of ${bind}`,
    counted(volumes.length, "volume") + suffix,
    counted(replicas, "replica"),
    counted(threads, "thread"),
    ...(s3port === 0 ? [] : [`S3 port ${s3port}`]),
    ...(adminport === 0 ? [] : [`admin port ${adminport}`]),
  ].join(", ");
}

/** What a worker thread serves with. */
export type ServerTask = {
  readonly name: "server";
  readonly config: Config;
  readonly number: number;
  readonly shared: Shared;
};

/** A worker thread's part of `runServer`. */
export async function serveTask(task: ServerTask, { stop, say }: ThreadContext): Promise<void> {
  const { config, number, shared } = task;
  await using store = await joinStore(config, { shared, number });
  await using _care = maintain(store);
  const service = startService(config, store);
  const { s3keys } = config;
  const s3 = s3keys === undefined ? undefined : await startS3(config, { store, keys: keysIn(s3keys) });
  say("serving");
  if (!stop.aborted) await once(stop, "abort");
  await Promise.all([service.drain(), s3?.drain()]);
}

function startService(config: Config, store: Store): Service {
  const authorizer = config.basicauth ? new Authorizer(store.volumes) : undefined;
  const { port, fallback, clienttimeout: clienttimeoutMs } = config;
  const native = { store, lists: new Lists(), clienttimeoutMs, fallback, authorizer };
  return serve(native, servingAt(port, config));
}

/** Starts the other threads: `serving` comes when one does, `ended` rejects with MkvError if it failed. */
function startWorkers(
  config: Config,
  { opened, entry, stop }: { opened: OpenedStore; entry: string; stop: AbortSignal },
) {
  return Array.from({ length: config.threads - 1 }, (_, i) => {
    const { promise: serving, resolve: onSaid } = Promise.withResolvers<unknown>();
    const task: ServerTask = { name: "server", config, number: i + 1, shared: opened.shared };
    return { serving, ended: inThread<void>(task.number, { entry, task, stop, onSaid }) };
  });
}

/** Throws MkvError if a volume that answers has no sync service; one that is down is asked with the first write. */
async function requireSync({ topology, volumes }: Store): Promise<void> {
  const lookAt = async (server: string) => {
    try {
      if (!(await volumes.hasSync(server))) throw noService(server);
    } catch (error) {
      if (!hasCode(error, "timeout")) throw error;
      warn(`${error.message}: whether it can sync is not known yet`);
    }
  };
  await Promise.all([...new Set(topology.volumes.map(serverOf))].map(lookAt));
}
