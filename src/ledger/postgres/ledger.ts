// Owns the ledger in a database that speaks PostgreSQL's wire, as one thread of one of several masters sees it.
import { type Key } from "../../format/key";
import { type Debt, type KeyRange, type KnownValue, type Ledger, type Memory, type Picture } from "../ledger";
import { type ValueRecord } from "../../format/record";
import { Claims } from "./claims";
import { type Database } from "./connection";
import { Debts } from "./debts";
import { SharedMemory } from "./memory";
import { Reads, knownKeys, scanTable } from "./reads";
import { keysTable } from "./schema";

/** What is known of a ledger when it is opened. */
export type PostgresParts = {
  readonly database: Database;
  readonly isBehind: boolean;
  /** Whether this thread looks for what is owed: one of a process does. */
  readonly looksForDebts: boolean;
  /** Disposed of with the ledger, before its connections are closed. */
  readonly presence?: AsyncDisposable;
};

/** The ledger that several masters share. */
export class PostgresLedger implements Ledger {
  readonly memory: Memory;
  readonly isBehind: boolean;
  readonly claim: Claims["claim"];
  readonly #database: Database;
  readonly #reads: Reads;
  readonly #claims: Claims;
  readonly #debts: Debts | undefined;
  readonly #presence: AsyncDisposable | undefined;

  constructor({ database, isBehind, looksForDebts, presence }: PostgresParts) {
    this.#presence = presence;
    this.isBehind = isBehind;
    this.#database = database;
    this.memory = new SharedMemory(database);
    this.#reads = new Reads(database);
    this.#claims = new Claims(database);
    this.#debts = looksForDebts ? new Debts(database) : undefined;
    this.claim = this.#claims.claim.bind(this.#claims);
  }

  get owing(): number {
    return this.#debts?.owing ?? 0;
  }

  get(key: Key): Promise<ValueRecord | undefined> {
    return this.#reads.get(key);
  }

  look(key: Key): Promise<KnownValue> {
    return this.#reads.look(key);
  }

  picture(): Picture {
    return { isConsistent: false, keys: knownKeys(this.#database) };
  }

  scan(range: KeyRange, options?: { atOnce?: number }) {
    return scanTable(this.#database, keysTable, range, options);
  }

  async *due() {
    if (this.#debts) yield* this.#debts.due();
  }

  owedBy(key: Key): Promise<readonly Debt[]> {
    return this.#claims.owedBy(key);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#claims[Symbol.asyncDispose]();
    await this.#presence?.[Symbol.asyncDispose]();
    await this.#database[Symbol.asyncDispose]();
  }
}
