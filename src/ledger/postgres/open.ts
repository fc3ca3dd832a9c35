// Owns the ledger in a database that speaks PostgreSQL's wire, as one thread of one of several masters sees it, and its
// opening: its tables are made at the first start of a store, and never where volumes have values already.
import { type Key } from "../../format/key";
import { databaseLimits } from "../../database-limits";
import { MkvError, hasCode } from "../../errors";
import { shaped } from "../../shape";
import { log, warn } from "../../log";
import { type Epoch, after, encodeEpoch, furtherThan, furthest, readEpoch } from "../../format/epoch";
import { type Age, type Ledger, type NoteEpoch, type OnMissing, type Opened, type Surroundings } from "../ledger";
import { retryBusy } from "../retry-busy";
import { type DatabaseAddress } from "./address";
import { AwayLog } from "./away-log";
import { Claims } from "./claims";
import { Database } from "./connection";
import { behindName, lackText, watchForFailover } from "./first-look";
import { type SharedMemory, sharedMemory } from "./memory";
import { enter } from "./processes";
import { shown } from "../shown";
import { debtsOf, knownKeys, readsOf, scanTable } from "./reads";
import { hasSchema, keysTable, makeTables, setMade } from "./schema";

/** What the threads of a process share. */
export type PostgresShared = { readonly address: DatabaseAddress; readonly age: Age };

/**
 * Opens the ledger for the first thread of a process.
 * @param onRebuild is told why the process must end, which was cut off while a rebuild began
 * @throws MkvError away if the database cannot be asked, failed if it refuses or a rebuild is at work
 */
export async function openPostgresLedger(
  address: DatabaseAddress,
  { onMissing, seenEpochs, onRebuild }: Surroundings & { readonly onRebuild: (why: string) => void },
): Promise<Opened<PostgresShared>> {
  await using undo = new AsyncDisposableStack();
  const database = undo.use(new Database(address));
  if (address.showsPassword) warn("ps shows the password in -db: PGPASSWORD or MKV_DB in the environment does not");
  if (!(await hasSchema(database))) await begin(database, onMissing);
  await warnOfForgetting(database);
  const presence = undo.use(await enter(database, "master", onRebuild));
  const memory = sharedMemory(database);
  const isNews = await lookBack(database, (await seenEpochs()) ?? []);
  const age = ageBy(await memory.get(behindName));
  if (age === "older" && !isNews) warn(lackText);
  if (age === "older") await database.run(forgetDebts, [Buffer.from(behindName)], "long");
  const ledger = postgresLedger(database, age, presence);
  database.awayLog = new AwayLog(address.shown);
  undo.move(); // Nothing is to be undone any more.
  return {
    ledger,
    shared: { address, age },
    hasCrashed: false, // Its claims hold until nothing of it can come any more.
    leftOn: [],
    abandon() {},
    noteEpoch: epochsOf(database, memory, age),
    takeTurn: (what) => takeTurn(ledger, what),
  };
}

/** Waits for as long as a master that died may have had it. Throws MkvError busy: another one has it still. */
async function takeTurn(ledger: Ledger, what: "ids" | "notes"): Promise<AsyncDisposable> {
  const take = () => ledger.claim(turnKey(what), (before) => before, { expect: "nothing" });
  const longestMs = 2 * (databaseLimits.leaseMs + databaseLimits.leaseGraceMs);
  return await retryBusy(take, longestMs).catch((error: unknown) => {
    if (!hasCode(error, "busy")) throw error;
    const text = `another master has been busy with the ${what} on the volumes for ${Math.round(longestMs / 1000)} s`;
    throw new MkvError("busy", `${text}: its log says why`, { cause: error });
  });
}

/** Says which settings let the database forget what it has acknowledged. */
async function warnOfForgetting(database: Database): Promise<void> {
  const settings = await database.run(
    "select name from (values ('fsync'), ('synchronous_commit')) as t (name) where current_setting(name, true) = 'off'",
  );
  for (const [name] of settings)
    warn(`after a crash or a power cut the database may lack what it acknowledged last: ${name} is off`);
}

/** Under which name it is remembered how far the store has come. */
export const epochName = "epoch";

/**
 * Remembers that the ledger is older if the volumes have seen more; where it says nothing, how far they have come.
 * They were asked first: the ledger goes on before them. Returns whether that is news.
 */
export async function lookBack(database: Database, seen: readonly Epoch[]): Promise<boolean> {
  const noted = furthest(undefined, seen);
  if (noted) await database.run(addEpoch, [Buffer.from(epochName), JSON.stringify(noted)]);
  const own = epochIn(await sharedMemory(database).get(epochName));
  const further = furtherThan(own, seen) && furthest(own, seen);
  if (!further) return false;
  const names = [Buffer.from(epochName), Buffer.from(behindName)];
  await database.run(fallBehind, [...names, JSON.stringify(further), further.count]);
  warn(lackText);
  return true;
}

/** How far the store had come by that name. Throws MkvError failed if it is damaged. */
function epochIn(found: unknown): Epoch | undefined {
  if (found === undefined) return undefined;
  const epoch = shaped<Epoch>(found, { store: "", count: 0 });
  if (epoch && readEpoch(encodeEpoch(epoch))) return epoch;
  const advice = "stop all masters, delete that row, start them again";
  throw new MkvError("failed", `the row "epoch" of mkv_memory is damaged (${JSON.stringify(found)}): ${advice}`);
}

const addEpoch = `insert into mkv_memory (name, value, version) values ($1, $2, gen_random_uuid())
  on conflict (name) do nothing`;

/** Only one of several that find it: debts are forgotten once, and not those of who has begun since. It may run late, or twice. */
const fallBehind = `with further as (
    update mkv_memory set value = $3, version = gen_random_uuid()
    where name = $1 and (value::jsonb ->> 'count')::int8 < $4::int8 returning 1)
  insert into mkv_memory (name, value, version) select $2::bytea, 'true', gen_random_uuid() from further
  on conflict (name) do update set value = excluded.value, version = excluded.version`;

/** The count goes on with each call, of any master; one that finds that another has found the ledger to be older ends as well. */
function epochsOf(database: Database, memory: SharedMemory, age: Age): NoteEpoch {
  return async (seen, note) => {
    if (await lookBack(database, seen)) return lackText;
    await watchForFailover((text, values) => database.run(text, values));
    if (age === "older") return undefined;
    if (ageBy(await memory.get(behindName)) === "older") return lackText;
    if (!note) return undefined;
    await database.run(addEpoch, [Buffer.from(epochName), JSON.stringify(after(undefined))]); // If nobody has come any way yet, it begins.
    const [row] = await database.run(count, [Buffer.from(epochName)]);
    if (row) await note(JSON.parse(row[0] as string));
    return undefined;
  };
}

/** It may run late, or twice: the count only grows. */
const count = `update mkv_memory
  set value = jsonb_set(value::jsonb, '{count}', to_jsonb((value::jsonb ->> 'count')::int8 + 1))::text, version = gen_random_uuid()
  where name = $1 returning value`;

/** Opens the same ledger for another thread. */
export function joinPostgresLedger({ address, age }: PostgresShared): Ledger {
  return postgresLedger(new Database(address), age);
}

/** @param presence of the process, for its first thread, which alone looks for what is owed; disposed of with the ledger */
function postgresLedger(database: Database, age: Age, presence?: AsyncDisposable): Ledger {
  const claims = new Claims(database);
  const debts = presence && debtsOf(database, age);
  return {
    memory: sharedMemory(database),
    age,
    get owing() {
      return debts?.owing ?? 0;
    },
    ...readsOf(database),
    scan: (range, options) => scanTable(database, keysTable, range, options),
    list: (range, options) => shown(scanTable(database, keysTable, range, options)),
    dump: () => ({ isConsistent: false, keys: knownKeys(database) }),
    claim: (key, begin, options) => claims.claim(key, begin, options),
    async *due() {
      if (debts) yield* debts.due();
    },
    owedBy: (key) => claims.owedBy(key),
    async [Symbol.asyncDispose]() {
      claims[Symbol.dispose]();
      await presence?.[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
    },
  };
}

/**
 * What was owed, and who had claimed what, is of the time that the ledger was put back to: the files may be those of what was
 * acknowledged since. It is forgotten once: what masters owe from then on is theirs. (A rebuild finds the files.)
 */
const forgetDebts = `with now as (
    update mkv_memory set value = '"debts forgotten"', version = gen_random_uuid() where name = $1 and value = 'true'
    returning 1),
  gone as (
    delete from ${keysTable} where due is not null and record is null and facts is null and exists (select 1 from now))
  update ${keysTable} set owed = null, held = false, due = null, version = gen_random_uuid()
    where due is not null and not (record is null and facts is null) and exists (select 1 from now)`;

/** It is a new one, and not all volumes could be looked at. */
const asNew = "new";

/** @param behind what is remembered as `behindName` */
function ageBy(behind: unknown): Age {
  if (behind === undefined) return "current";
  return behind === asNew ? "incomplete" : "older";
}

async function begin(database: Database, onMissing: OnMissing): Promise<void> {
  const { isSure } = await onMissing(false).catch(async (error) => {
    if (await hasSchema(database)) return { isSure: true }; // Another master was first, and values have been stored since.
    throw error;
  });
  await makeTables(database);
  if (!isSure) await sharedMemory(database).put(behindName, asNew); // Before it counts as made.
  await database.run(setMade);
  log(`the tables of a new store are made in ${database.address.shown}`);
}

/** No key of a value begins like this: a turn is a claim. */
function turnKey(what: "ids" | "notes"): Key {
  return Buffer.from(`${what} of volumes`) as Uint8Array as Key;
}
