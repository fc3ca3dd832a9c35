// Owns the putting together of a store out of settings: the ledger, the volumes and their identity, for each thread.
import { writeSync } from "node:fs";
import { type MessagePort, isMainThread } from "node:worker_threads";
import { MkvError } from "../errors";
import { type Draft, type Lack, type Ledger } from "../ledger/ledger";
import { draftLevel } from "../ledger/level/draft";
import { remoteMemory } from "../ledger/level/memory-port";
import { type LevelShared, type OpenedLedger, joinLevelLedger, openLevelLedger } from "../ledger/level/open";
import { eventLine } from "../log";
import { isOutOfFiles, mostOpenFiles } from "../open-files";
import { WriteDates } from "../store/dates";
import { Hints } from "../store/hints";
import { Places } from "../store/places";
import { type Store } from "../store/store";
import { Volumes } from "../volumes/volumes";
import { type Config, dbOf } from "./config";
import { type Purpose, requireNoValues, requireSameShape } from "./first-look";
import { watchPlaces } from "./places";

/** What the threads of a process share. */
export type Shared = {
  readonly volumes: SharedArrayBuffer;
  readonly dates: SharedArrayBuffer;
  readonly hints: SharedArrayBuffer;
  readonly renamed: ReadonlyMap<string, string>;
  readonly ledger: LevelShared;
};

/** A store that was opened; disposing of it closes its ledger. */
export type OpenedStore = AsyncDisposable & {
  readonly store: Store;
  readonly shared: Shared;
  /** Looks after the volumes: once before each round of `maintain`. */
  readonly watch: () => Promise<void>;
  /** The process does not end well: what it has not finished is not taken for done. */
  abandon(): void;
};

/** Access to the volumes as these settings want it. */
export function accessVolumes(config: Config, shared?: SharedArrayBuffer): Volumes {
  const { topology, voltimeout, stalltimeout, sync, userpass: credentials, link } = config;
  const settings = { voltimeoutMs: voltimeout, stalltimeoutMs: stalltimeout, sync, credentials, link };
  return new Volumes(topology, settings, shared);
}

/**
 * Opens the store of these settings for the first thread of a process.
 * @param options.purpose a server may make a new index, and keeps to what the store looked like; a rebalance may change that
 * @throws MkvError failed
 */
export async function openStore(config: Config, { purpose }: { purpose: Purpose }): Promise<OpenedStore> {
  const health = Volumes.share(config.topology);
  const volumes = accessVolumes(config, health);
  const { sync, grace: graceMs } = config;
  const db = dbOf(config);
  const onMissing = async (hadOne: boolean) => {
    if (purpose !== "server") throw new MkvError("failed", `there is no index at ${db}: run rebuild first`);
    return await requireNoValues(volumes, { db, hadOne });
  };
  const opened = await openLevelLedger(db, { sync, graceMs, onMissing, onBroken });
  const { ledger } = opened;
  try {
    await requireSameShape(ledger, config, { purpose });
    const watch = await watchPlaces(volumes, opened.memory);
    distrust(volumes, opened);
    const { renamed } = watch;
    const dates = await WriteDates.share(ledger.memory);
    const shared = { volumes: health, dates, hints: Hints.share(), renamed, ledger: opened.shared };
    return {
      store: storeOf(config, { shared, ledger, volumes, dates: new WriteDates(ledger.memory, dates, 0) }),
      shared,
      watch: watch.round,
      abandon: opened.abandon,
      [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose](),
    };
  } catch (error) {
    await ledger[Symbol.asyncDispose]();
    throw error;
  }
}

/** Opens the ledger of these settings without its volumes. Throws MkvError failed; also if there is none. */
export async function openLedger(config: Config): Promise<Ledger> {
  const { sync, grace: graceMs } = config;
  const db = dbOf(config);
  const onMissing = async () => {
    throw new MkvError("failed", `there is no index at ${db}: run rebuild first`);
  };
  const { ledger, hasCrashed, abandon } = await openLevelLedger(db, { sync, graceMs, onMissing, onBroken });
  if (hasCrashed) abandon(); // A master that comes next is to know of it.
  return ledger;
}

/** Begins to make a ledger where these settings say. Throws MkvError failed if there is one. */
export function draftLedger(config: Config, lack: Lack | undefined): Promise<Draft> {
  return draftLevel(dbOf(config), { lack });
}

/** Opens the same store for another thread. Throws MkvError failed. */
export async function joinStore(
  config: Config,
  { shared, number, port }: { shared: Shared; number: number; port: MessagePort },
): Promise<Store & AsyncDisposable> {
  const memory = remoteMemory(port);
  const joined = { sync: config.sync, onBroken, shared: shared.ledger, thread: number, memory };
  const ledger = await joinLevelLedger(dbOf(config), joined);
  const dates = new WriteDates(memory, shared.dates, number);
  const store = storeOf(config, { shared, ledger, volumes: accessVolumes(config, shared.volumes), dates });
  return { ...store, [Symbol.asyncDispose]: () => ledger[Symbol.asyncDispose]() };
}

function storeOf(
  config: Config,
  { shared, ...parts }: { shared: Shared; ledger: Ledger; volumes: Volumes; dates: WriteDates },
): Store {
  const { topology, minreplicas, grace: graceMs, probe, md5sum, protect } = config;
  return {
    ...{ ...parts, topology, minreplicas, graceMs, probe, md5sum, protect },
    renamed: shared.renamed,
    hints: new Hints(parts.ledger.memory, shared.hints),
    places: new Places(parts.volumes),
  };
}

/**
 * Until they have settled, nothing is written to volumes that may still hold a request of a process before this one: those
 * that it left something on; after a crash also those that have no fence.
 */
function distrust(volumes: Volumes, { shared, hasCrashed }: OpenedLedger): void {
  for (const owed of shared.barred.values()) for (const volume of owed) volumes.distrust(volume);
  if (!hasCrashed) return;
  for (const volume of volumes.topology.volumes) if (volumes.isFenced(volume) !== true) volumes.distrust(volume);
}

/** Ends the process at once: see rule 2 of ledger/level/leveldb.ts. */
function onBroken(error: MkvError): void {
  const advice = isOutOfFiles(error)
    ? `raise the number of open files (LimitNOFILE, ulimit -n: ${mostOpenFiles} now)`
    : "make room";
  const text = `${error.message}: stopping, since nothing more could be promised; ${advice}, then start again`;
  writeSync(2, eventLine(text, "error")); // A worker has no `process.stderr.fd`, and what it logs goes through the first thread.
  if (!isMainThread) process.kill(process.pid, "SIGKILL"); // `exit` would end this thread alone.
  process.exit(1);
}
