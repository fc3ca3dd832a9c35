// Owns the life of a master: open, serve, drain, close; on as many threads as are asked for. Each thread has a server on
// the shared port, a handle on the shared index and a journal of its own. One that dies takes the process along: half a
// master would lose every other request.
import { once } from "node:events";
import { MessageChannel, type MessagePort, parentPort } from "node:worker_threads";
import { Admission } from "../api/admission";
import { Authorizer } from "../api/authorize";
import { Lists } from "../api/native/list";
import { type Service, requireFreePort, serve } from "../api/serve";
import { MkvError } from "../errors";
import { serverOf } from "../format/volume";
import { serveMemory } from "../ledger/level/memory-port";
import { log } from "../log";
import { maintain } from "../store/maintain";
import { type Store } from "../store/store";
import { warmUp } from "../volumes/upload-stream";
import { type Config } from "./config";
import { type OpenedStore, type Shared, joinStore, openStore } from "./open";
import { startWorker } from "./threads";

/**
 * Serves until `stop` is aborted, then ends the running requests and closes the index.
 * @param entry URL of the program, which worker threads run too
 * @throws MkvError failed if the index or the port is not to be had, or a thread has died
 */
export async function runServer(config: Config, { stop, entry }: { stop: AbortSignal; entry: string }): Promise<void> {
  if (config.port !== 0) requireFreePort(config);
  await warmUp();
  await using opened = await openStore(config, { purpose: "server" });
  const { store } = opened;
  if (config.sync) await requireSync(store);
  const service = startService(config, store);
  const workers = await startWorkers({ ...config, port: service.port }, opened, entry);
  await using _care = maintain(store, opened.watch);
  const { volumes, replicas } = config.topology;
  const cluster = `${volumes.length} volumes, ${replicas} replicas, ${config.threads} threads`;
  log(`mkv: listening on port ${service.port}, ${cluster}`);

  workers.died.catch(opened.abandon);
  if (!stop.aborted) await Promise.race([once(stop, "abort"), workers.died]);
  log("mkv: stopping: running requests end first");
  await Promise.all([service.drain(), workers.drain()]);
}

/** What a worker thread serves with. */
export type ServerTask = {
  readonly name: "server";
  readonly config: Config;
  readonly number: number;
  readonly shared: Shared;
  /** To what the first thread remembers. */
  readonly port: MessagePort;
};

/** A worker thread's part of `runServer`. */
export async function serveTask({ config, number, shared, port }: ServerTask): Promise<void> {
  const drained = new Promise((resolve) => parentPort!.once("message", resolve));
  await using store = await joinStore(config, { shared, number, port });
  await using _care = maintain(store);
  const service = startService(config, store);
  parentPort!.postMessage("serving");
  await drained;
  await service.drain();
}

function startService(config: Config, store: Store): Service {
  const authorizer = config.basicAuth ? new Authorizer(store.volumes) : undefined;
  const { port, bind, verbose, threads, fallback, clienttimeoutMs } = config;
  const lists = new Lists();
  const admission = new Admission({ replicas: config.topology.replicas, threads });
  const native = { store, lists, clienttimeoutMs, fallback, authorizer };
  return serve(native, { port, bind, verbose, shared: threads > 1, admission });
}

type Workers = {
  /** Rejects with MkvError failed when a worker ends that was not asked to. */
  readonly died: Promise<never>;
  drain(): Promise<unknown>;
};

async function startWorkers(config: Config, { store, shared }: OpenedStore, entry: string): Promise<Workers> {
  const death = Promise.withResolvers<never>();
  death.promise.catch(() => {}); // Every caller awaits it; this only silences the warning.
  let isDraining = false;
  const started: Promise<unknown>[] = [];
  const workers = Array.from({ length: config.threads - 1 }, (_, i) => {
    const number = i + 1;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    started.push(promise);
    const { port1, port2 } = new MessageChannel();
    serveMemory(store.ledger.memory, port1);
    const task: ServerTask = { name: "server", config, number, shared, port: port2 };
    const worker = startWorker(number, { entry, task, onMessage: resolve, transfer: [port2] });
    worker.ended.then(
      () => isDraining || death.reject(new MkvError("failed", `thread ${number} has ended: stopping`)),
      death.reject,
    );
    return worker;
  });
  await Promise.race([Promise.all(started), death.promise]);
  return {
    died: death.promise,
    async drain() {
      isDraining = true;
      for (const worker of workers) worker.post("drain");
      await Promise.allSettled(workers.map(({ ended }) => ended));
    },
  };
}

/** Throws MkvError if a volume that answers has no sync service; one that is down is asked with the first write. */
async function requireSync({ topology, volumes }: Store): Promise<void> {
  for (const server of new Set(topology.volumes.map(serverOf))) {
    try {
      if (!(await volumes.wake(server))) throw new MkvError("timeout", `${server} is down`);
      await volumes.sync(server, "/", { expected: "there" });
    } catch (error) {
      if (!(error instanceof MkvError && error.code === "timeout")) throw error;
      log(`mkv: ${error.message}: whether it can sync is not known yet`);
    }
  }
}
