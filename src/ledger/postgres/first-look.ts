// Owns what is looked at over new connections before anything else is asked.
// 1. Whether each connection has a session of the server to itself. A pooler may lend one session to several by turns, as
//    pgbouncer does in transaction mode. Unless it renames what they prepare, a statement of one is carried out for another,
//    with values that were meant for something else.
// 2. Whether the database went on somewhere else: on a standby that was promoted, or out of a backup. PostgreSQL begins a new
//    timeline then, and no connection outlives that. If replication was not synchronous, the last of what was acknowledged may
//    be missing there, and what was owed may be files of values: the ledger is older.
// 3. Whether sessions are left that were given up. Those that wait for a lock are ended, others are not: what waits for a
//    standby would show to all before it is safe. With too many of them nothing more is asked, since the server has few.
// 4. Whether replication is synchronous is remembered while it is so. Afterwards nobody could say. It is remembered in the
//    database, which may be lost before a standby has that, too, and by each master: who saw last that it was not is right.
import { type SQL } from "bun";
import { warn } from "../../log";
import { parsed, shaped } from "../../shape";
import { sqlState } from "./sql-state";

/** What is said of a pooler that mixes up prepared statements. */
export const sharedSessions =
  "a pooler shares sessions and the statements prepared in them, as pgbouncer does in transaction mode: " +
  "set pool_mode = session, or take pgbouncer 1.21 or later with max_prepared_statements";

/**
 * Looks at two connections by turns. Each must be one that opens a single connection.
 * @throws Error if statements are mixed up; what a connection says otherwise
 */
export async function requireOwnSessions(one: SQL, other: SQL): Promise<void> {
  try {
    const sessions: number[] = [];
    for (const sql of [one, other, other, one]) sessions.push(await sessionOf(sql));
    const [first, second, third, fourth] = sessions;
    if (first === fourth && second === third && first !== second) return;
    const prepared = await one.unsafe("select name from pg_prepared_statements where $1", [true]).values();
    if ((prepared as [string][]).some(([name]) => namedByBun.test(name))) throw new Error(sharedSessions);
  } catch (error) {
    if (isMixedUp(error)) throw new Error(sharedSessions);
    if (!noRoom.test(sqlState(error))) throw error; // The server allows no second one: then no pooler lends any.
  }
}

/** Asked without values, so that nothing is prepared. */
async function sessionOf(sql: SQL): Promise<number> {
  const [row] = (await sql.unsafe("select pg_backend_pid()").values()) as [number][];
  return row![0];
}

/** Whether the server says that a prepared statement of this name is there already, or is not there. */
export function isMixedUp(error: unknown): boolean {
  return ["42P05", "26000"].includes(sqlState(error));
}

/** The names that Bun gives to what it prepares, in each connection from P0 on. */
const namedByBun = /^P\d+$/;
const noRoom = /^53/;

/** Under this name it is remembered that the ledger is not current, until a rebuild. */
export const behindName = "behind";

/** Under this name it is noted where the database is in its history. */
export const lineName = "timeline";

/** What is said of that. */
export const lackText =
  "the database may lack what was acknowledged last: it went on from a standby that was not synchronous, or from a backup, " +
  "or a master over another index writes to the volumes (end that one for good); " +
  'with all masters stopped, "mkv rebuild" finds what is missing';

/** Runs a statement that may run late or twice, and gives its rows. */
export type Ask = (text: string, values: readonly unknown[]) => Promise<readonly (readonly unknown[])[]>;

/** Where the database is in its history; `isOlder`: as it came there it lacked something, as far as anybody knows. */
type Line = {
  readonly cluster: string;
  readonly timeline: number;
  readonly isSynchronous: boolean;
  readonly isOlder?: boolean;
};

/** Where a process saw it last that looks again and again. */
let lastSeen: Line | undefined;

/**
 * Ends the other sessions of this name that wait for a lock.
 * @returns how many have something else in hand. Throws what `ask` does.
 */
export async function endWaiting(ask: Ask, name: string): Promise<number> {
  const [row] = (await unlessItCannot(() => ask(endOthers, [name]))) ?? [];
  return (row?.[0] as number | undefined) ?? 0;
}

const endOthers = `select count(*) filter (where wait_event_type is distinct from 'Lock')::int,
  count(pg_terminate_backend(pid)) filter (where wait_event_type = 'Lock')
  from pg_stat_activity where application_name = $1 and state <> 'idle' and pid <> pg_backend_pid()`;

/** Remembers that the ledger is older if the database went on elsewhere since the last look. Throws what `ask` does. */
export async function lookForFailover(ask: Ask): Promise<void> {
  await unlessItCannot(() => compare(ask));
}

/** The same, by a process that does so again and again: what it has seen counts as well at its next look. */
export async function watchForFailover(ask: Ask): Promise<void> {
  lastSeen = await unlessItCannot(() => compare(ask));
}

async function unlessItCannot<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!cannotTell.includes(sqlState(error))) throw error;
    return undefined;
  }
}

async function compare(ask: Ask): Promise<Line> {
  const [row] = await ask(lineNow, [Buffer.from(lineName)]);
  const [cluster, file, isSynchronous, noted] = row as [string, string, boolean, string | null];
  const timeline = Number.parseInt(file.slice(0, 8), 16);
  const line = { cluster: "", timeline: 0, isSynchronous: false, "isOlder?": false };
  const before = shaped<Line>(parsed(noted ?? ""), line);
  const isOther = (line: Line | undefined) => line?.cluster === cluster && line.timeline !== timeline;
  const isRemembered = !isOther(before) && before?.isOlder === true;
  const isOlder = isRemembered || [before, lastSeen].some((line) => isOther(line) && !line!.isSynchronous);
  const now: Line = { cluster, timeline, isSynchronous, ...(isOlder ? { isOlder } : {}) };
  const text = JSON.stringify(now);
  if (isOlder && !isRemembered) {
    const moved = await ask(fallBehind, [Buffer.from(lineName), text, noted, Buffer.from(behindName)]);
    if (moved.length === 0) return await compare(ask); // Another thread or master was first, which may not know of it.
    warn(lackText);
  } else if (text !== noted) await ask(note, [Buffer.from(lineName), text, noted]);
  return now;
}

const lineNow = `select system_identifier::text, pg_walfile_name(pg_current_wal_insert_lsn()),
  current_setting('synchronous_standby_names') <> '' and current_setting('synchronous_commit') not in ('off', 'local'),
  (select value from mkv_memory where name = $1) from pg_control_system()`;

const note = `insert into mkv_memory (name, value, version) values ($1, $2, gen_random_uuid())
  on conflict (name) do update set value = excluded.value, version = excluded.version where mkv_memory.value = $3::text`;

/** Only one of several that find it does this: debts are forgotten once, and not those of who has begun since. */
const fallBehind = `with moved as (${note} returning 1)
  insert into mkv_memory (name, value, version) select $4::bytea, 'true', gen_random_uuid() from moved
  on conflict (name) do update set value = excluded.value, version = excluded.version returning 1`;

/** Its tables are not there yet, or of an earlier mkv; or it is not PostgreSQL, or one that tells nothing of its log. */
const cannotTell = ["42P01", "42703", "42883", "42501", "42704", "0A000"];
