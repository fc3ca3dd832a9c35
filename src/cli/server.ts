// Owns the life of a master: open, serve, drain, close.
import { Authorizer } from "../api/authorize";
import { serve } from "../api/serve";
import { log } from "../log";
import { type Config } from "./config";
import { type Store } from "../store/store";
import { serverOf } from "../volumes/health";
import { probe, sync } from "../volumes/volume";
import { keepWell, openStore } from "./open";

/**
 * Serves until `stop` is aborted, then ends the running requests and closes the index.
 * @throws MkvError failed if the index or the port is not to be had
 */
export async function runServer(config: Config, stop: AbortSignal): Promise<void> {
  await using store = await openStore(config, { mustExist: false });
  if (config.sync) await demandSync(store);
  await using _care = keepWell(store);
  const authorizer = config.basicAuth ? new Authorizer(store.volumes, config.topology) : undefined;
  const { port, verbose } = config;
  const service = serve({ store, fallback: config.fallback, authorizer }, { port, verbose, shared: false });
  const { volumes, replicas } = config.topology;
  log(`mkv: listening on port ${service.port}, ${volumes.length} volumes, ${replicas} replicas`);
  if (!stop.aborted) await new Promise((resolve) => stop.addEventListener("abort", resolve, { once: true }));
  log("mkv: stopping: running requests end first");
  await service.drain();
}

/** Throws MkvError if a volume that answers has no sync service; one that is down is asked with the first write. */
async function demandSync({ topology, volumes }: Store): Promise<void> {
  for (const server of new Set(topology.volumes.map(serverOf))) {
    if (await probe(volumes, server)) await sync(volumes, server, "/", { expected: "there" });
    else log(`mkv: ${server} is down: whether it can sync is not known yet`);
  }
}
