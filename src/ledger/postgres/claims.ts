// Owns the claims of a thread. A row is record, claim and debts in one, and every write of it is one statement that names the
// version which it changes: two owners of one key cannot both succeed.
// 1. A claim holds for `leaseMs` after it was renewed last (lease.ts). The row is its own for `leaseGraceMs` more: no request
//    that was sent under the claim can begin then (volumes/signer.ts).
// 2. A claim whose time is over is anybody's, unless the clock of the database was set just now. What it owed is in the row.
// 3. Where it is not known whether a write came through, the next one names both versions. An owner that can write no more
//    touches nothing, and lets the claim run out.
import { MkvError, hasCode } from "../../errors";
import { type Key } from "../../format/key";
import { encodeRecord } from "../../format/record";
import { databaseLimits } from "../../database-limits";
import { counted, log } from "../../log";
import { nowMs, thisMoment } from "../../clock";
import { entryOf, writeFacts } from "../facts";
import { type Claim, type ClaimOptions, type Debt, type Entry } from "../ledger";
import { claimsOpen, putSeconds, timed } from "../measures";
import { type Database } from "./connection";
import { ClaimLease, DatabaseClock, databaseMs, lost } from "./lease";
import { type Found, bytesArray, foundColumns, foundIn, isAtRest, owedColumn, plainArray } from "./row";
import { keysTable } from "./schema";

const nothing: Entry = { record: undefined, owed: [] };

/** The claims of a thread, and their renewal. */
export class Claims implements Disposable {
  readonly #open = new Set<SharedClaim>();
  readonly #timer: Timer;
  readonly #clock = new DatabaseClock();
  #takenOver = 0;

  constructor(readonly database: Database) {
    this.#timer = setInterval(() => void this.#renew(), databaseLimits.leaseMs / 3).unref();
  }

  /** See `Ledger.claim`. */
  async claim(
    key: Key,
    begin: (before: Entry) => Entry,
    { expect = "something", sends = "short" }: ClaimOptions = {},
  ): Promise<Claim> {
    const holdMs =
      databaseLimits.leaseMs + databaseLimits.leaseGraceMs + (sends === "streams" ? databaseLimits.streamMs : 0);
    /** Claims of a key that was not there, which may have come through. */
    const made = new Map<string, SharedClaim>();
    let guess = expect === "nothing" ? wanted(begin) : undefined;
    for (let tries = 0; tries < databaseLimits.claimTries; tries++, guess = undefined) {
      const found = guess ? undefined : await this.#find(key);
      const own = found && made.get(found.version);
      if (own) return this.#keep(own);
      if (found?.state === "held" || (found && this.#clock.wasSet && !isAtRest(found))) break;
      const entry = guess ?? begin(found?.entry ?? nothing);
      const claim = new SharedClaim(this.database, key, entry, holdMs, (ended) => {
        if (this.#open.delete(ended)) claimsOpen.add(-1);
      });
      if (!found) made.set(claim.version, claim);
      if (!(await claim.take(found))) continue;
      if (found?.state === "lapsed") this.#takenOver++;
      return this.#keep(claim);
    }
    throw new MkvError("busy", "another write or delete of this key is under way");
  }

  #keep(claim: SharedClaim): Claim {
    this.#open.add(claim);
    claimsOpen.add(1);
    return claim;
  }

  async #find(key: Key): Promise<Found | undefined> {
    const askedMs = nowMs();
    const rows = await this.database.run(`select ${foundColumns} from ${keysTable} where key = $1`, [key]);
    this.#clock.hear(rows, askedMs);
    return rows[0] && foundIn(key, rows[0]);
  }

  async owedBy(key: Key): Promise<readonly Debt[]> {
    return (await this.#find(key))?.entry.owed ?? [];
  }

  async #renew(): Promise<void> {
    if (this.#takenOver > 0) log(`took over ${counted(this.#takenOver, "claim")} that their owner had not renewed`);
    this.#takenOver = 0;
    const claims = [...this.#open];
    if (claims.length === 0) return;
    const asked = thisMoment();
    const known = claims.map(({ version, isKnown }) => (isKnown ? version : undefined));
    try {
      const rows = await this.database.run(renewAll, [
        bytesArray(claims.map(({ key }) => key)),
        plainArray(claims.map(({ version }) => version)),
        plainArray(claims.map(({ holdMs }) => holdMs)),
      ]);
      const renewed = new Set(rows.map(([version]) => version));
      this.#clock.hear(rows, asked.atMs);
      for (const [i, claim] of claims.entries()) {
        if (renewed.has(claim.version)) claim.lease.confirm(asked);
        else if (claim.version === known[i]) claim.lease.lose(); // No write of its own has changed the version meanwhile: it is another's.
      }
    } catch (error) {
      if (!(error instanceof MkvError)) throw error; // Otherwise they run out, and whoever goes on is told.
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

const renewAll = `update ${keysTable} set due = now() + t.ms::float8 * interval '1 millisecond'
  from unnest($1::bytea[], $2::uuid[], $3::int[]) as t (k, v, ms)
  where key = t.k and version = t.v and held returning version, ${databaseMs}`;

/** What would be put where nothing is; undefined if that would be refused. */
function wanted(begin: (before: Entry) => Entry): Entry | undefined {
  try {
    return begin(nothing);
  } catch {
    return undefined; // It may be refused for another reason, of what is there.
  }
}

class SharedClaim implements Claim {
  readonly barred: readonly string[] = []; // No request of its last owner can begin any more.
  readonly lease = new ClaimLease();
  #entry: Entry;
  /** What lies beside the record, as it is written down. */
  #facts: string | undefined;
  /** The version of the row; before it those that it may have as well, where that is not known. */
  #versions: string[] = [crypto.randomUUID()];
  #isEnded = false;

  /** @param holdMs how long the row is its own from each write on */
  constructor(
    readonly database: Database,
    readonly key: Key,
    entry: Entry,
    readonly holdMs: number,
    readonly onEnd: (claim: SharedClaim) => void,
  ) {
    this.#entry = entry;
  }

  get entry(): Entry {
    return this.#entry;
  }

  get version(): string {
    return this.#versions.at(-1)!;
  }

  /** Whether the row has this version, as far as its owner did anything to it. */
  get isKnown(): boolean {
    return this.#versions.length === 1;
  }

  get untilMs(): number {
    return this.lease.untilMs;
  }

  /** Makes the row, or takes it as it was found. Returns whether that succeeded. */
  async take(found: Found | undefined): Promise<boolean> {
    const asked = thisMoment();
    const { record, owed } = this.#entry;
    const text = record ? encodeRecord(record) : null;
    this.#facts = found?.facts ?? undefined;
    const facts = writeFacts(this.#facts, this.#entry);
    const values = [this.key, this.version, text, facts ?? null, owedColumn(owed), this.holdMs];
    const [statement, all] = found ? [takeRow, [...values, found.version]] : [makeRow, values];
    const taken = timed(putSeconds, this.database.run(statement, all));
    const rows = await (isCommit(found?.entry, this.#entry) ? taken.catch(failUnsure) : taken);
    this.lease.confirm(asked);
    this.#written(this.#entry, facts);
    return rows.length > 0;
  }

  async put(entry: Entry): Promise<void> {
    if (entry !== this.#entry) await this.#write(entry, { dueMs: this.holdMs, isHeld: true });
  }

  async end(entry: Entry, { againMs = 0 } = {}): Promise<void> {
    const isNothing = !entry.record && !entry.forward && entry.owed.length === 0;
    if (isNothing) await this.#erase();
    else await this.#write(entry, { dueMs: entry.owed.length > 0 ? againMs : null, isHeld: false });
    this.#isEnded = true;
    this.onEnd(this);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isEnded) return;
    this.onEnd(this); // It is not renewed any more, whatever comes.
    await this.end(this.#entry).catch((error) => {
      if (!(error instanceof MkvError)) throw error; // Otherwise it runs out, and somebody else pays what it owes.
    });
  }

  async #write(entry: Entry, { dueMs, isHeld }: { dueMs: number | null; isHeld: boolean }): Promise<void> {
    const asked = thisMoment();
    this.#versions = [...this.#versions, crypto.randomUUID()];
    const { version } = this;
    const record = entry.record ? encodeRecord(entry.record) : null;
    const facts = writeFacts(this.#facts, entry);
    const values = [this.key, version, record, facts ?? null, owedColumn(entry.owed), dueMs, isHeld];
    const written = this.database.run(writeRow, [...values, plainArray(this.#versions)]);
    const rows = await timed(putSeconds, written).catch(failUnsure);
    if (rows.length === 0) throw lost();
    this.#versions = [version];
    if (isHeld) this.lease.confirm(asked);
    this.#written(entry, facts);
  }

  /** This is in the row now. */
  #written(entry: Entry, facts: string | undefined): void {
    this.#facts = facts;
    this.#entry = entryOf(this.key, entry.record, { facts, owed: entry.owed });
  }

  async #erase(): Promise<void> {
    const rows = await this.database.run(eraseRow, [this.key, plainArray(this.#versions)]).catch(failUnsure);
    if (rows.length > 0) return;
    const [other] = await this.database.run(`select 1 from ${keysTable} where key = $1`, [this.key]);
    if (other) throw lost(); // Otherwise it is gone, by this statement or by whoever had paid the rest.
  }
}

/** Whether a claim is a commit already: what there is of the key is told otherwise from then on. */
function isCommit(before: Entry | undefined, { record, attributes }: Entry): boolean {
  return record?.state !== before?.record?.state || (attributes !== undefined && attributes !== before?.attributes);
}

/** What was sent to a database that does not answer may have been carried out, or will be. */
function failUnsure(error: unknown): never {
  if (!hasCode(error, "away")) throw error;
  throw new MkvError("away", `${error.message}; this may be done all the same: look once it answers`, {
    cause: error,
  });
}

const makeRow = `insert into ${keysTable} (key, version, record, facts, owed, held, due)
  values ($1, $2::uuid, $3, $4, $5::text[], true, now() + $6::float8 * interval '1 millisecond')
  on conflict (key) do nothing returning 1`;

const takeRow = `update ${keysTable} set version = $2::uuid, record = $3, facts = $4, owed = $5::text[], held = true,
  due = now() + $6::float8 * interval '1 millisecond', written = now()
  where key = $1 and ((version = $7::uuid and (not held or due <= now())) or version = $2::uuid) returning 1`;

const writeRow = `update ${keysTable} set version = $2::uuid, record = $3, facts = $4, owed = $5::text[], held = $7,
  due = now() + $6::float8 * interval '1 millisecond', written = now()
  where key = $1 and version = any($8::uuid[]) returning 1`;

const eraseRow = `delete from ${keysTable} where key = $1 and version = any($2::uuid[]) returning 1`;
