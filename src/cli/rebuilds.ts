// Owns the choice of where a rebuild makes its new index: beside the old one, in a folder or in the same database.
import { type ReadIndex, type Suspect, type WrittenIndex } from "../jobs/rebuild";
import { type Memory } from "../ledger/ledger";
import { openLevelIndex } from "../ledger/level/leveldb";
import { rebuildLevel } from "../ledger/level/rebuild";
import { rebuildOf } from "../ledger/level/swap";
import { type Owed } from "../ledger/owed";
import { joinTables, makeNext } from "../ledger/postgres/next";
import { type Config, dbOf } from "./config";

/** A new index in the making. Disposing of it before the swap leaves the old one as it was. */
export type Rebuild = AsyncDisposable & {
  readonly next: WrittenIndex;
  /** Undefined if it cannot be read. */
  readonly old: ReadIndex | undefined;
  readonly memory: Memory;
  readonly suspect: Suspect | undefined;
  /** The name of the new one in a database. */
  readonly table?: string | undefined;
  /** What unfinished work has left, by the names that volumes have today. */
  owedBy(nameOf: (volume: string) => string): Owed | Promise<Owed>;
  /** Puts the new index in the place of the old one. */
  swap(): Promise<void>;
};

/** Begins to make a new index. Throws MkvError failed if another process uses the old one. */
export async function beginRebuild(config: Config): Promise<Rebuild> {
  if (config.source.kind !== "database") return await rebuildLevel(dbOf(config));
  const made = await makeNext(config.source.address);
  const suspect = { fromMs: 0, toMs: Date.now(), laterMs: Number.POSITIVE_INFINITY };
  return {
    ...made,
    suspect: made.isBehind ? suspect : undefined,
    swap: () => made.swap({ keepsRest: true }),
  };
}

/** The same for another thread. Throws MkvError failed. */
export async function joinRebuild(
  config: Config,
  { hasOld, table }: { hasOld: boolean; table: string | undefined },
): Promise<Pick<Rebuild, "next" | "old"> & AsyncDisposable> {
  if (config.source.kind === "database") return joinTables(config.source.address, table!);
  const db = dbOf(config);
  const next = await openLevelIndex(rebuildOf(db));
  const old = hasOld ? await openLevelIndex(db) : undefined;
  return {
    ...{ next, old },
    async [Symbol.asyncDispose]() {
      await next[Symbol.asyncDispose]();
      await old?.[Symbol.asyncDispose]();
    },
  };
}
