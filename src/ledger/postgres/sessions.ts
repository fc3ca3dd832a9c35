// Owns the question whether each connection has a session of the server to itself. A pooler may lend one session to several
// connections by turns, as pgbouncer does in transaction mode. Unless it renames what they prepare, a statement of one is
// carried out for another, with values that were meant for something else.
import { type SQL } from "bun";
import { sqlState } from "./sql-state";

/** What connects is lent sessions that it shares with others. */
export class SharedSessions extends Error {
  constructor() {
    const where =
      "what stands between shares sessions and the statements prepared in them, as pgbouncer does in transaction mode";
    super(`${where}: set pool_mode = session, or take pgbouncer 1.21 or later with max_prepared_statements`);
  }
}

/**
 * Looks at two connections by turns. Each must be one that opens a single connection.
 * @throws SharedSessions; what a connection says otherwise
 */
export async function requireOwnSessions(one: SQL, other: SQL): Promise<void> {
  try {
    const sessions: number[] = [];
    for (const sql of [one, other, other, one]) sessions.push(await sessionOf(sql));
    const [first, second, third, fourth] = sessions;
    if (first === fourth && second === third && first !== second) return;
    const prepared = await one.unsafe("select name from pg_prepared_statements where $1", [true]).values();
    if ((prepared as [string][]).some(([name]) => namedHere.test(name))) throw new SharedSessions();
  } catch (error) {
    const state = sqlState(error) ?? "";
    if (nameTaken.includes(state)) throw new SharedSessions();
    if (!noRoom.test(state)) throw error; // Too few are allowed for a second one: where so few are, none is lent.
  }
}

/** Asked without values, so that nothing is prepared. */
async function sessionOf(sql: SQL): Promise<number> {
  const [row] = (await sql.unsafe("select pg_backend_pid()").values()) as [number][];
  return row![0];
}

/** How Bun names what it prepares, in each connection from P0 on. */
const namedHere = /^P\d+$/;
/** A prepared statement of this name is there already, or is there no more. */
export const nameTaken: readonly string[] = ["42P05", "26000"];
const noRoom = /^53/;
