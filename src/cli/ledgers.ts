// Owns the choice of the ledger, and of where a new one is made: LevelDB in a folder, which one process has, or a database
// that several masters share.
import { writeSync } from "node:fs";
import { type MessagePort, isMainThread } from "node:worker_threads";
import { MkvError } from "../errors";
import { type Draft, type Lack, type Ledger } from "../ledger/ledger";
import { draftLevel } from "../ledger/level/draft";
import { remoteMemory } from "../ledger/level/memory-port";
import { type LevelOptions, type LevelShared, joinLevelLedger, openLevelLedger } from "../ledger/level/open";
import { joinLevelRebuild, rebuildLevel } from "../ledger/level/rebuild";
import { draftPostgres, joinPostgresRebuild, rebuildPostgres } from "../ledger/postgres/next";
import { type PostgresShared, joinPostgresLedger, openPostgresLedger } from "../ledger/postgres/open";
import { type IndexNames, type Indexes, type Rebuild } from "../ledger/rebuild";
import { eventLine } from "../log";
import { isOutOfFiles, mostOpenFiles } from "../open-files";
import { type Config, dbOf } from "./config";

/** What the threads of a process share of their ledger. */
export type SharedLedger = LevelShared | PostgresShared;

/** A ledger that was opened for the first thread of a process. */
export type OpenedLedger = {
  readonly ledger: Ledger;
  readonly shared: SharedLedger;
  /** Whether the process before this one, if it alone had the ledger, has not ended by itself. */
  readonly hasCrashed: boolean;
  /** The process does not end well: what it has not finished is not taken for done. */
  abandon(): void;
  /** Waits until no other process gives ids to volumes, where there may be one. */
  takeTurn?(): Promise<AsyncDisposable>;
};

/**
 * Opens the ledger of these settings for the first thread of a process.
 * @param onMissing is called where there is none, before one is made; what it throws is thrown
 * @throws MkvError failed; unavailable if it cannot be asked
 */
export async function openLedger(config: Config, onMissing: LevelOptions["onMissing"]): Promise<OpenedLedger> {
  const { source, sync, grace: graceMs } = config;
  if (source.kind === "database") return await openPostgresLedger(source.address, { onMissing });
  return await openLevelLedger(dbOf(config), { sync, graceMs, onMissing, onBroken });
}

/** Begins to make a new index beside the old one. Throws MkvError failed if another process uses that. */
export function beginRebuild(config: Config): Promise<Rebuild> {
  return config.source.kind === "database" ? rebuildPostgres(config.source.address) : rebuildLevel(dbOf(config));
}

/** Opens both for another thread. Throws MkvError failed. */
export async function joinRebuild({ source }: Config, names: IndexNames): Promise<Indexes> {
  if (source.kind === "database") return joinPostgresRebuild(source.address, names);
  return await joinLevelRebuild(names);
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
