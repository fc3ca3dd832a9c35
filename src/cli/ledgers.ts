// Owns the choice of the ledger, and of where a new one is made: LevelDB in a folder, which one process has, or a database
// that several masters share.
import { isMainThread } from "node:worker_threads";
import { MkvError } from "../errors";
import { type Ledger, type Memory, type Opened, type Surroundings } from "../ledger/ledger";
import { type LevelShared } from "../ledger/level/ledger";
import { joinLevelLedger, openLevelLedger, openWithoutIndex } from "../ledger/level/open";
import { draftLevel, joinLevelRebuild, rebuildLevel } from "../ledger/level/next";
import { draftPostgres, joinPostgresRebuild, makeNext } from "../ledger/postgres/next";
import { type PostgresShared, joinPostgresLedger, openPostgresLedger } from "../ledger/postgres/open";
import { type AllEpochs, type Draft, type IndexNames, type Indexes, type Lack, type Rebuild } from "../ledger/next";
import { sayEnd } from "../log";
import { isOutOfFiles, mostOpenFiles } from "../open-files";
import { type Config } from "./config";

/** What the threads of a process share of their ledger. */
export type SharedLedger = LevelShared | PostgresShared;

/** What is done with a ledger as a whole. Everything throws MkvError: failed; away if it cannot be asked. */
export type LedgerKind = {
  /** Where it is, as it may be shown. */
  readonly shown: string;
  /** Opens it for the first thread of a process. */
  open(surroundings: Surroundings): Promise<Opened<SharedLedger>>;
  /** Opens the same for another thread. */
  join(thread: { shared: SharedLedger; number: number }): Promise<Ledger>;
  /** Opens what is remembered beside an index that is lost or damaged; undefined if there is one, or nothing is kept apart. */
  openWithoutIndex(): Promise<(Memory & AsyncDisposable) | undefined>;
  /** Begins to make a new index beside the old one, which no other process may use. */
  rebuild(allEpochs: AllEpochs): Promise<Rebuild>;
  /** Opens both for another thread. */
  joinRebuild(names: IndexNames): Promise<Indexes>;
  /** Begins to make a ledger out of a backup, where there is none. */
  draft(lack: Lack | undefined): Promise<Draft>;
};

/** The kind of the ledger of these settings, and where it is. Throws MkvError usage if a master is asked instead. */
export function ledgerAt({ source, sync, grace: graceMs }: Config): LedgerKind {
  if (source.kind === "master") throw new MkvError("usage", "this works on -db alone");
  if (source.kind === "database") {
    const { address } = source;
    return {
      shown: address.shown,
      open: (surroundings) => openPostgresLedger(address, { ...surroundings, onRebuild }),
      join: async ({ shared }) => joinPostgresLedger(shared as PostgresShared),
      openWithoutIndex: async () => undefined,
      rebuild: (allEpochs) => makeNext(address, { of: "volumes", allEpochs }),
      joinRebuild: async (names) => joinPostgresRebuild(address, names),
      draft: (lack) => draftPostgres(address, { lack }),
    };
  }
  const { db } = source;
  return {
    shown: db,
    open: (surroundings) => openLevelLedger(db, { ...surroundings, sync, graceMs, onBroken }),
    join: ({ shared, number: thread }) =>
      joinLevelLedger(db, { sync, onBroken, shared: shared as LevelShared, thread }),
    openWithoutIndex: () => openWithoutIndex(db),
    rebuild: (allEpochs) => rebuildLevel(db, allEpochs),
    joinRebuild: joinLevelRebuild,
    draft: (lack) => draftLevel(db, { lack }),
  };
}

/** See rule 2 of ledger/level/leveldb.ts. */
function onBroken(error: MkvError): void {
  stopNow(`${error.message}: stopping, since nothing more could be promised; ${adviceOn(error)}, then start again`);
}

/** See `enter` of ledger/postgres/processes.ts. */
function onRebuild(why: string): void {
  stopNow(`the database had not heard of this process for too long: stopping, since ${why}`);
}

function adviceOn(error: MkvError): string {
  if (isOutOfFiles(error)) return `raise the number of open files (LimitNOFILE, ulimit -n: ${mostOpenFiles} now)`;
  return /no space|quota/i.test(error.message) ? "make room" : "see dmesg, since its disk fails or is read-only";
}

/** Ends the process at once, with a line that says why. */
export function stopNow(text: string): never {
  sayEnd(text);
  if (!isMainThread) process.kill(process.pid, "SIGKILL"); // `exit` would end this thread alone.
  process.exit(1);
}
