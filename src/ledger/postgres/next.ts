// Owns a new table of keys beside the old one, for a rebuild or an import, and the putting of it in its place.
// 1. Nobody else is at work on the store from before anything is looked at until the end (`processes.ts`).
// 2. The swap is one transaction. Whatever is killed before leaves the old table as it was; where there was none, the store
//    does not count as made.
// 3. Each run has a table of its own name: what a dead one has sent, and runs late, finds no table.
import { MkvError } from "../../errors";
import { type Key } from "../../format/key";
import { type ValueRecord, decodeRecord, encodeRecord, readRecord } from "../../format/record";
import { databaseLimits } from "../../database-limits";
import { limits } from "../../limits";
import { type Known, type KeyRange, type KeyRecord, addMissing } from "../ledger";
import { factsOfKnown } from "../facts";
import { type AllEpochs, type Draft, type IndexNames, type Indexes, type Lack, type Owed } from "../next";
import { type OwedByKey, type Rebuild, accountedFor } from "../next";
import { type DatabaseAddress } from "./address";
import { behindName, lineName, lookForFailover } from "./first-look";
import { Database } from "./connection";
import { sharedMemory } from "./memory";
import { epochName, lookBack } from "./open";
import { type Presence, enter } from "./processes";
import { keysOwing, scanTable } from "./reads";
import { bytesArray, textArray } from "./row";
import { createDue, createKeys, hasSchema, keyOrder, keysTable, makeTables, setMade, undefinedTable } from "./schema";
import { sqlState } from "./sql-state";

export type KeysTable = ReturnType<typeof tableOf>;

/** A table of keys, as a rebuild reads and fills it. */
function tableOf(database: Database, table: string) {
  async function putKnown(keys: readonly Known[]): Promise<void> {
    if (keys.length === 0) return;
    const owed = ({ owed }: Known) => owed.map(({ kind, volume }) => `${kind} 0 ${limits.fenceOverMs} ${volume}`);
    const text = `insert into ${table} (key, record, facts, owed, version, due)
      select k, r, f, string_to_array(o, e'\\n'), gen_random_uuid(), case when o is null then null else now() end
      from unnest($1::bytea[], $2::text[], $3::text[], $4::text[]) as t (k, r, f, o)
      on conflict (key) do update set record = excluded.record`;
    const columns = [
      bytesArray(keys.map(({ key }) => key)),
      textArray(keys.map(({ record }) => record ?? null)),
      textArray(keys.map((known) => factsOfKnown(known) ?? null)),
      textArray(keys.map((known) => (known.owed.length > 0 ? owed(known).join("\n") : null))),
    ];
    await database.run(text, columns, "long");
  }
  return {
    async get(key: Key): Promise<ValueRecord | undefined> {
      const text = `select record from ${table} where key = $1 and record is not null`;
      const [row] = await database.run(text, [key], "long");
      return row && decodeRecord(row[0] as string);
    },
    scan: (range: KeyRange) => scanTable(database, table, range, { patience: "long" }),
    putKnown,
    /** Puts records, over those that are there. */
    putAll: (entries: readonly KeyRecord[]) =>
      putKnown(entries.map(({ key, record }) => ({ key, record: encodeRecord(record), owed: [] }))),
  };
}

/** The old table and the new one, for another thread of a rebuild. */
export function joinPostgresRebuild(address: DatabaseAddress, names: IndexNames): Indexes {
  const database = new Database(address);
  return {
    old: names.old === undefined ? undefined : tableOf(database, names.old),
    next: tableOf(database, names.next),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

/** What a new table is made of. */
type Source =
  | { readonly of: "volumes"; readonly allEpochs: AllEpochs }
  | { readonly of: "backup"; readonly lack: Lack | undefined };

/**
 * Begins to make a new table, out of what volumes have or out of a backup.
 * @throws MkvError failed if masters are at work on the store, or a backup is to take the place of keys
 */
export async function makeNext(
  address: DatabaseAddress,
  source: Source,
): Promise<Rebuild & { readonly next: KeysTable }> {
  await using undo = new AsyncDisposableStack();
  const database = undo.use(new Database(address));
  if (!(await hasSchema(database))) await makeTables(database);
  const presence = undo.use(await enter(database, "rebuild"));
  const [claimed] = await database.run(`select 1 from ${keysTable} where held and due > now() limit 1`, [], "long");
  if (claimed) throw new MkvError("failed", "keys are still claimed by a master that died: try again in two minutes");
  const anyKey = `select 1 from ${keysTable} where record is not null or owed is not null limit 1`;
  if (source.of === "backup" && (await database.run(anyKey, [], "long")).length > 0)
    throw new MkvError("failed", `${address.shown} is not empty: name another database`);
  for (const left of await tablesIn(database))
    // Of runs that were cut short.
    if (/^mkv_keys_next(_[0-9a-f]{8})?$/.test(left)) await database.run(`drop table if exists ${left}`);
  const table = `${keysTable}_next_${crypto.randomUUID().slice(0, 8)}`;
  await database.run(createKeys(table, await keyOrder(database)));
  await database.run(createDue(table)); // While it is empty: over all keys it may take too long.
  undo.defer(async () => {
    await database.run(`drop table if exists ${table}`).catch(() => {}); // The next run does.
  });
  if (source.of === "volumes") await lookBack(database, await source.allEpochs());
  await lookForFailover((text, values) => database.run(text, values)); // New connections had no tables to note it in.
  const [before] = await database.run(history);
  const memory = sharedMemory(database);
  const behind = await memory.get(behindName); // Later than that: what has changed since is found before the swap.
  const areOfThen = behind === true; // Otherwise masters have made all debts since, which hold whatever it lacks.
  return Object.assign(undo.move(), {
    next: tableOf(database, table),
    old: tableOf(database, keysTable),
    names: { old: keysTable, next: table },
    memory,
    suspect: behind !== undefined ? { fromMs: 0, laterMs: Number.POSITIVE_INFINITY } : undefined,
    owedBy: (currentName: (volume: string) => string) =>
      areOfThen ? Promise.resolve(new Map()) : owedIn(database, currentName),
    async swap() {
      if (source.of === "volumes") await keepRest(database, table, { owed: !areOfThen });
      await swapTables(database, { table, presence, before: before![0], then: `${setMade}; ${behindAfter(source)}` });
    },
  });
}

async function tablesIn(database: Database): Promise<string[]> {
  const rows = await database.run("select tablename from pg_tables where schemaname = current_schema()");
  return rows.map(([name]) => name as string);
}

/** What becomes of it that the ledger may lack something: a table that was made of volumes knows all that they have. */
function behindAfter(source: Source): string {
  if (source.of === "volumes") return `delete from mkv_memory where name = '${behindName}'`;
  if (!source.lack) return "";
  return `insert into mkv_memory (name, value, version) values ('${behindName}', 'true', gen_random_uuid())
    on conflict (name) do update set value = excluded.value, version = excluded.version`;
}

/** A sum of where the database is in its history, as far as it tells, and of what is known that it lacks. */
const history = `select md5(concat(
  (select concat(value::jsonb ->> 'cluster', ' ', value::jsonb ->> 'timeline') from mkv_memory where name = '${lineName}'),
  ' ', (select value from mkv_memory where name = '${behindName}')))`;

/**
 * Sent as one text these are one transaction, which fails if the database went on elsewhere since then, anybody else was at
 * work, or this process no longer counts as present: it would take the place of what masters have acknowledged since.
 * @param how.before what `history` said when this began
 * @param how.then statements that go along
 * @throws MkvError failed, unavailable
 */
async function swapTables(
  database: Database,
  how: { table: string; presence: Presence; before: unknown; then: string },
): Promise<void> {
  const { table, presence, before, then } = how;
  const text = `drop table ${keysTable}; alter table ${table} rename to ${keysTable};
    alter index ${table}_due rename to ${keysTable}_due;
    select 1 / count(*) from (${presence.isAlone}) as alone where (${history}) = '${before}'; ${then}`;
  const why =
    "a master was at work, too, or the database went on elsewhere, or had not heard of this process for too long";
  const failed = new MkvError("failed", `not put in place: ${why}: stop all masters, then run it again`);
  const id = await idOf(database, table);
  try {
    await database.run(text, [], "long");
  } catch (error) {
    const state = sqlState(error);
    if (state === undefinedTable && (await idOf(database, keysTable)) === id) return; // By an earlier try, whose answer was lost.
    throw state === undefinedTable || state === divisionByZero ? failed : error;
  }
}

/** A table keeps it, whatever its name. */
async function idOf(database: Database, table: string): Promise<unknown> {
  const [row] = await database.run(`select to_regclass('${table}')::oid::text`);
  return row![0];
}

const divisionByZero = "22012";

/** What lies beside the records, and what is owed, goes along: page by page, since no statement may take as long as all keys. */
async function keepRest(database: Database, table: string, { owed }: { owed: boolean }): Promise<void> {
  const endOfPage = `select key from ${keysTable} where key > $1 order by key offset $2::int limit 1`;
  for (let after: Uint8Array = new Uint8Array(); ;) {
    const [end] = await database.run(endOfPage, [after, limits.scanKeys - 1], "long");
    const within = (key: string) => `${key} > $1${end ? ` and ${key} <= $2` : ""}`;
    const range = [after, ...(end ?? [])];
    const facts = `update ${table} as n set facts = o.facts from ${keysTable} as o
      where n.key = o.key and o.facts is not null and ${within("n.key")} and ${within("o.key")}`;
    await database.run(facts, range, "long");
    const debts = `insert into ${table} (key, facts, owed, version, due, written)
      select key, facts, owed, gen_random_uuid(), now(), written from ${keysTable}
      where owed is not null and ${within("key")}
      on conflict (key) do update set owed = excluded.owed, due = excluded.due, written = excluded.written`;
    if (owed) await database.run(debts, range, "long");
    if (!end) return;
    after = end[0] as Uint8Array;
  }
}

async function owedIn(database: Database, currentName: (volume: string) => string): Promise<Owed> {
  const owed = new Map<string, OwedByKey>();
  for await (const page of keysOwing(database)) {
    for (const { key, record, owed: debts } of page) {
      const known = readRecord(record);
      // Where nothing is known of the key its files may be the value.
      if (known || record === undefined) owed.set(key.toHex(), accountedFor(known, debts, currentName));
    }
    if (owed.size > databaseLimits.owedInRebuild)
      throw new MkvError(
        "failed",
        `more than ${databaseLimits.owedInRebuild} keys owe something: let masters pay that first`,
      );
  }
  return owed;
}

/**
 * Begins to make a ledger out of a backup.
 * @param options.lack what it may lack; undefined if nothing was acknowledged that is not in it
 * @throws MkvError failed if there is one that is not empty, or masters are at work on it
 */
export async function draftPostgres(address: DatabaseAddress, { lack }: { lack: Lack | undefined }): Promise<Draft> {
  const made = await makeNext(address, { of: "backup", lack });
  const { next, memory } = made;
  return Object.assign(made, {
    putAll: next.putKnown,
    async finish(entries: ReadonlyMap<string, unknown>) {
      await addMissing(memory, entries); // What is remembered here already is of a later time than a backup.
      await memory.delete(epochName); // But for this: the volumes may have come further with another ledger.
      await made.swap();
    },
  });
}
