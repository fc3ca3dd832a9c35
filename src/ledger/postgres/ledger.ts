// Owns the ledger in a database that speaks PostgreSQL's wire, as one thread of one of several masters sees it.
import { type Age, type Ledger } from "../ledger";
import { Claims } from "./claims";
import { type Database } from "./connection";
import { debtsOf } from "./debts";
import { sharedMemory } from "./memory";
import { knownKeys, readsOf, scanTable } from "./reads";
import { keysTable } from "./schema";

/** What is known of a ledger when it is opened. */
export type PostgresParts = Age & {
  readonly database: Database;
  /** Whether this thread looks for what is owed: one of a process does. */
  readonly looksForDebts: boolean;
  /** Disposed of with the ledger, before its connections are closed. */
  readonly presence?: AsyncDisposable;
};

/** The ledger that several masters share. */
export function postgresLedger({ database, isBehind, isOlder, looksForDebts, presence }: PostgresParts): Ledger {
  const claims = new Claims(database);
  const debts = looksForDebts ? debtsOf(database, { isOlder }) : undefined;
  return {
    memory: sharedMemory(database),
    ...{ isBehind, isOlder },
    get owing() {
      return debts?.owing ?? 0;
    },
    ...readsOf(database),
    scan: (range, options) => scanTable(database, keysTable, range, options),
    picture: () => ({ isConsistent: false, keys: knownKeys(database) }),
    claim: (key, begin, options) => claims.claim(key, begin, options),
    async *due() {
      if (debts) yield* debts.due();
    },
    owedBy: (key) => claims.owedBy(key),
    async [Symbol.asyncDispose]() {
      await claims[Symbol.asyncDispose]();
      await presence?.[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
    },
  };
}
