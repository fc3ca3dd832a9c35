// Owns the tables, and their making: `mkv` does it at its first start. Statements change one row, or are harmless twice, so
// that CockroachDB and YugabyteDB could take them as well.
import { MkvError } from "../../errors";
import { type Database } from "./connection";
import { sqlState } from "./sql-state";

export const keysTable = "mkv_keys";

const version = 1;

/** Makes a table of keys, unless it is there. */
export function createKeys(table: string, key: "key" | "key asc"): string {
  return `create table if not exists ${table} (
    key bytea not null,
    record text,
    facts text,
    owed text[],
    version uuid not null,
    held boolean not null default false,
    due timestamptz,
    written timestamptz not null default now(),
    primary key (${key}))`;
}

/** Finds what is due. */
export function createDue(table: string): string {
  return `create index if not exists ${table}_due on ${table} (due, key) where due is not null`;
}

const createOthers = [
  "create table if not exists mkv_memory (name bytea primary key, value text not null, version uuid)",
  `create table if not exists mkv_processes (
    id uuid primary key, kind text not null, name text not null, seen timestamptz not null)`,
  "create table if not exists mkv_schema (version int primary key)",
];

/**
 * Whether the tables are there; they get what they lack of an earlier mkv.
 * @throws MkvError failed if they are those of a later mkv
 */
export async function hasSchema(database: Database): Promise<boolean> {
  try {
    const [row] = await database.run("select max(version) from mkv_schema");
    const found = row?.[0] as number | null;
    if (found === null) return false;
    if (found === version) {
      await addMemoryVersion(database);
      return true;
    }
    const text = `the database ${database.address.shown} has tables of version ${found}, this mkv knows ${version}`;
    throw new MkvError("failed", `${text}: use the mkv that made them, or a later one`);
  } catch (error) {
    if (sqlState(error) === undefinedTable) return false;
    throw error;
  }
}

/** Looks first: the change of a table waits for all who use it, and everybody else waits for the change. */
async function addMemoryVersion(database: Database): Promise<void> {
  try {
    await database.run("select version from mkv_memory limit 0");
  } catch (error) {
    if (sqlState(error) !== undefinedColumn) throw error;
    await database.run("alter table mkv_memory add column if not exists version uuid");
  }
}

/** Makes the tables of a store, which does not count as made before `setMade`. Another master may do so at the same time. */
export async function makeTables(database: Database): Promise<void> {
  const key = await keyOrder(database);
  for (const statement of [createKeys(keysTable, key), createDue(keysTable), ...createOthers]) {
    for (let tries = 1; ; tries++) {
      try {
        await database.run(statement);
        break;
      } catch (error) {
        if (!madeByAnother.includes(sqlState(error)) || tries === 5) throw error;
      }
    }
  }
  await addMemoryVersion(database);
}

/** From then on the store is there. */
export const setMade = `insert into mkv_schema values (${version}) on conflict (version) do nothing`;

/** YugabyteDB scatters keys by their hash unless it is told that they have an order. */
export async function keyOrder(database: Database): Promise<"key" | "key asc"> {
  const [row] = await database.run("select version()");
  return String(row?.[0]).includes("-YB-") ? "key asc" : "key";
}

export const undefinedTable = "42P01";
const undefinedColumn = "42703";
/** What `if not exists` says where two make the same at once. */
const madeByAnother = ["23505", "42P07", "42710", "XX000"];
