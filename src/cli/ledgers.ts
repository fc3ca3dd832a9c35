// Owns the choice of the ledger: LevelDB in a folder, which one process has, or a database that several masters share.
import { writeSync } from "node:fs";
import { type MessagePort, isMainThread } from "node:worker_threads";
import { MkvError } from "../errors";
import { type Draft, type Lack, type Ledger } from "../ledger/ledger";
import { draftLevel } from "../ledger/level/draft";
import { remoteMemory } from "../ledger/level/memory-port";
import {
  type LevelOptions,
  type LevelShared,
  type OpenedLedger as OpenedLevel,
  joinLevelLedger,
  openLevelLedger,
} from "../ledger/level/open";
import { draftPostgres } from "../ledger/postgres/next";
import { type PostgresShared, joinPostgresLedger, openPostgresLedger } from "../ledger/postgres/open";
import { eventLine } from "../log";
import { isOutOfFiles, mostOpenFiles } from "../open-files";
import { type Volumes } from "../volumes/volumes";
import { type Config, dbOf, shownDb } from "./config";

/** What the threads of a process share of their ledger. */
export type SharedLedger = LevelShared | PostgresShared;

/** A ledger that was opened for the first thread of a process; disposing of it closes it. */
export type OpenedLedger = AsyncDisposable & {
  readonly ledger: Ledger;
  readonly shared: SharedLedger;
  /** Waits until no other process gives ids to volumes. */
  takeTurn(): Promise<AsyncDisposable>;
  /** Has it that nothing is written to volumes that may still hold a request of a process before this one. */
  distrust(volumes: Volumes): void;
  /** The process does not end well: what it has not finished is not taken for done. */
  abandon(): void;
};

/**
 * Opens the ledger of these settings for the first thread of a process.
 * @param onMissing is called where there is none, before one is made; what it throws is thrown
 * @throws MkvError failed; unavailable if it cannot be asked
 */
export async function openSharedLedger(config: Config, onMissing: LevelOptions["onMissing"]): Promise<OpenedLedger> {
  if (config.source.kind === "database") {
    const opened = await openPostgresLedger(config.source.address, { onMissing });
    return {
      ...opened,
      distrust() {}, // A claim outlives its owner until nothing of it can come any more.
      abandon() {},
      [Symbol.asyncDispose]: () => opened.ledger[Symbol.asyncDispose](),
    };
  }
  const { sync, grace: graceMs } = config;
  const opened = await openLevelLedger(dbOf(config), { sync, graceMs, onMissing, onBroken });
  return {
    ledger: opened.ledger,
    shared: opened.shared,
    takeTurn: async () => new AsyncDisposableStack(),
    distrust: (volumes) => distrust(volumes, opened),
    abandon: opened.abandon,
    [Symbol.asyncDispose]: () => opened.ledger[Symbol.asyncDispose](),
  };
}

/** Opens the ledger of these settings without its volumes. Throws MkvError failed; also if there is none. */
export async function openLedger(config: Config): Promise<Ledger> {
  const onMissing = async () => {
    throw new MkvError("failed", `there is no index at ${shownDb(config)}: run rebuild first`);
  };
  if (config.source.kind === "database") return (await openPostgresLedger(config.source.address, { onMissing })).ledger;
  const { sync, grace: graceMs } = config;
  const { ledger, hasCrashed, abandon } = await openLevelLedger(dbOf(config), { sync, graceMs, onMissing, onBroken });
  if (hasCrashed) abandon(); // A master that comes next is to know of it.
  return ledger;
}

/** Begins to make a ledger where these settings say. Throws MkvError failed if there is one. */
export function draftLedger(config: Config, lack: Lack | undefined): Promise<Draft> {
  if (config.source.kind === "database") return draftPostgres(config.source.address, { lack });
  return draftLevel(dbOf(config), { lack });
}

/** Opens the same ledger for another thread. Throws MkvError failed. */
export async function joinLedger(
  config: Config,
  { shared, number, port }: { shared: SharedLedger; number: number; port: MessagePort },
): Promise<Ledger> {
  if ("address" in shared) return joinPostgresLedger(shared);
  const memory = remoteMemory(port);
  return await joinLevelLedger(dbOf(config), { sync: config.sync, onBroken, shared, thread: number, memory });
}

/**
 * Until they have settled, nothing is written to volumes that may still hold a request of a process before this one: those
 * that it left something on; after a crash also those that have no fence.
 */
function distrust(volumes: Volumes, { shared, hasCrashed }: OpenedLevel): void {
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
