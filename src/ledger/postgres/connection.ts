// Owns the way to the database. Whoever asks is answered, or told that it cannot be, within a time.
// 1. A query on a server that is frozen never ends by itself. When its time is over, all connections are thrown away: that
//    is all that ends it.
// 2. What was given up may still be carried out, at any time. So a statement that runs late, or twice, must do no harm: each
//    names the version of the row that it changes.
// 3. What may pass by itself is tried again, with pauses, until the time is over.
// 4. Only a server that takes writes is asked: a standby may not know what was acknowledged. Whenever a connection has
//    ended, that is looked at again.
// 5. A session that was given up lives on while it waits in the server: there are never many of them.
import { SQL } from "bun";
import { nowMs } from "../../clock";
import { withDeadline } from "../../deadline";
import { MkvError, reasonOf } from "../../errors";
import { databaseLimits } from "../../database-limits";
import { type DatabaseAddress, databaseOf } from "./address";
import { type AwayLog } from "./away-log";
import { type Ask, endWaiting, isMixedUp, lookForFailover, requireOwnSessions, sharedSessions } from "./first-look";
import { sqlState } from "./sql-state";

export type Row = readonly unknown[];

/** How long a statement may take: as one of a request, or as one that goes over all keys. */
export type Patience = "short" | "long";

type Pool = { readonly sql: SQL; mustCheck: boolean };

export class Database implements AsyncDisposable {
  #pool: Pool | undefined;
  #opening: Promise<Pool> | undefined;
  #host = 0;
  #hasOwnSessions = false;
  #isClosed = false;
  /** Since when it has not answered; undefined while it does. */
  #awaySinceMs: number | undefined;
  /** What the server knows the connections by. */
  readonly #name = `mkv ${crypto.randomUUID()}`;
  /** What is told of it, if this process is to tell. */
  awayLog: AwayLog | undefined;

  constructor(readonly address: DatabaseAddress) {}

  /**
   * Runs a statement, which must be one that may run late or twice.
   * @throws MkvError away if it cannot be asked, failed if it refuses; `sqlState` says what it said
   */
  async run(text: string, values: readonly unknown[] = [], patience: Patience = "short"): Promise<readonly Row[]> {
    const isShort = patience === "short";
    const answerMs = isShort ? databaseLimits.answerMs : databaseLimits.longMs;
    const startMs = nowMs();
    // A request has nearly waited in vain for as long as one may: further ones need not wait as long.
    const isLongAway = this.#awaySinceMs !== undefined && startMs - this.#awaySinceMs > databaseLimits.patienceMs / 2;
    const shortMs = isLongAway ? databaseLimits.awayMs : databaseLimits.patienceMs;
    const untilMs = startMs + (isShort ? shortMs : databaseLimits.longMs);
    for (let pauseMs = databaseLimits.pauseMs; ; pauseMs *= 2) {
      try {
        const rows = await this.#ask(text, values, Math.min(answerMs, untilMs - nowMs()));
        this.#awaySinceMs = undefined;
        this.awayLog?.answered();
        return rows;
      } catch (error) {
        const isPassing = passes(error);
        if (isPassing) this.#awaySinceMs ??= startMs;
        const waitMs = pauseMs * (0.5 + Math.random());
        if (!isPassing || this.#isClosed || nowMs() + waitMs >= untilMs) throw this.#failure(error, startMs);
        await Bun.sleep(waitMs);
      }
    }
  }

  async #ask(text: string, values: readonly unknown[], timeoutMs: number): Promise<readonly Row[]> {
    const startMs = nowMs();
    const pool = await withDeadline(timeoutMs, this.#connections(), hung);
    const leftMs = timeoutMs - (nowMs() - startMs);
    try {
      const answer = pool.sql.unsafe(text, [...values]).values() as Promise<Row[]>;
      return await withDeadline(leftMs, answer, hung);
    } catch (error) {
      if (error instanceof Hung || sqlState(error) === readOnly) this.#throwAway(pool);
      throw error;
    }
  }

  /** Connections to a server that takes writes. */
  #connections(): Promise<Pool> {
    if (this.#pool?.mustCheck) this.#throwAway(this.#pool);
    if (this.#pool) return Promise.resolve(this.#pool);
    this.#opening ??= this.#open()
      .then((pool) => (this.#pool = pool))
      .finally(() => (this.#opening = undefined));
    return this.#opening;
  }

  /** Tries one host after the other. Throws Unreachable. */
  async #open(): Promise<Pool> {
    const { hosts } = this.address;
    const failures: { host: string; error: unknown }[] = [];
    for (const _ of hosts) {
      const { url, shown } = hosts[this.#host % hosts.length]!;
      const pool = newPool(url, { name: this.#name });
      try {
        const ask: Ask = (text, values) => answered(pool.sql.unsafe(text, [...values]).values() as Promise<Row[]>);
        const [row] = await ask("show transaction_read_only", []);
        if (row?.[0] !== "off")
          throw new Unfit("it takes no writes: it is a standby, or default_transaction_read_only is on");
        await this.#requireOwnSessions(url);
        const left = await endWaiting(ask, this.#name);
        if (left >= databaseLimits.connections) throw new Unfit(`${left} ${stuck}`);
        await lookForFailover(ask);
        return pool;
      } catch (error) {
        failures.push({ host: shown, error });
        letGo(pool);
        this.#host++;
      }
    }
    throw new Unreachable(failures);
  }

  /** Looks once: a pooler stays the same while a process runs. */
  async #requireOwnSessions(url: string): Promise<void> {
    if (this.#hasOwnSessions) return;
    const [one, other] = [newPool(url, { connections: 1 }), newPool(url, { connections: 1 })];
    try {
      await answered(requireOwnSessions(one.sql, other.sql));
      this.#hasOwnSessions = true;
    } finally {
      for (const pool of [one, other]) letGo(pool);
    }
  }

  #throwAway(pool: Pool): void {
    if (this.#pool === pool) this.#pool = undefined;
    letGo(pool);
  }

  #failure(error: unknown, startMs: number): MkvError {
    const isAway = passes(error) || error instanceof Unreachable;
    const why = reasonOf(error).replaceAll(/\s+/g, " ");
    const what = isAway ? `cannot be asked: ${why}` : `refuses: ${why}${adviceOn(error)}`;
    const text = `the database ${this.address.shown} ${what}`;
    if (isAway && !this.#isClosed) this.awayLog?.failed(text, this.#awaySinceMs ?? startMs);
    return new MkvError(isAway ? "away" : "failed", text, { cause: error });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true; // What is under way opens no connections anew.
    const pool = this.#pool ?? (await this.#opening?.catch(() => undefined));
    await pool?.sql.close({ timeout: 0 });
  }
}

const readOnly = "25006";

class Hung extends Error {}

const hung = () => new Hung("it does not answer");

/** What comes within the time of an answer. Throws Hung. */
function answered<T>(answer: Promise<T>): Promise<T> {
  return withDeadline(databaseLimits.answerMs, answer, hung);
}

/** A server that answers, and is of no use now. */
class Unfit extends Error {}

const stuck = "statements are stuck there: does it wait for a standby (synchronous_standby_names), or for its disk?";

/** No host is of use, for these reasons. */
class Unreachable extends Error {
  readonly isPassing: boolean;

  constructor(failures: readonly { host: string; error: unknown }[]) {
    const told = failures.map(({ host, error }) => (failures.length === 1 ? "" : `${host}: `) + reasonOf(error));
    super(told.join("; "));
    this.isPassing = failures.some(({ error }) => passes(error));
  }
}

/**
 * Whether it may pass: rolled back to be tried again (40), a lost connection (08), a server that ends or begins (57), or has
 * too much to do (53), a lock that did not come in the time of `lock_timeout`; or it is no primary any more.
 */
function passes(error: unknown): boolean {
  if (error instanceof Unreachable) return error.isPassing;
  if (error instanceof Hung || error instanceof Unfit) return true;
  const state = sqlState(error);
  if (state !== "") return /^(40|08|57|53|55P03)/.test(state) || state === readOnly;
  return /^ERR_POSTGRES_(CONNECTION|IDLE_TIMEOUT|LIFETIME)/.test((error as { code?: string }).code ?? "");
}

function adviceOn(error: unknown): string {
  if (isMixedUp(error)) return `: ${sharedSessions}`;
  if (sqlState(error) === "42501") return ": see docs/several-masters.md for what the user must be allowed to do";
  return "";
}

function newPool(
  url: string,
  { name = "mkv", connections = databaseLimits.connections }: { name?: string; connections?: number },
): Pool {
  const pool: { sql?: SQL; mustCheck: boolean } = { mustCheck: false };
  pool.sql = new SQL(url, {
    max: connections,
    connection: { application_name: name },
    database: databaseOf(url), // Bun prefers PGDATABASE to what the URL says.
    connectionTimeout: databaseLimits.answerMs / 1000,
    onclose: () => void (pool.mustCheck = true),
  });
  return pool as Pool;
}

/** Closes all connections at once: what waits for an answer there fails. */
function letGo({ sql }: Pool): void {
  void sql.close({ timeout: 0 }).catch(() => {});
}
