// Owns the question whether each connection has a session of the server to itself. A pooler may lend one session to several
// connections by turns, as pgbouncer does in transaction mode. Unless it renames what they prepare, a statement of one is
// carried out for another, with values that were meant for something else.
import { type SQL } from "bun";
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
    if (!noRoom.test(sqlState(error) ?? "")) throw error; // The server allows no second one: then no pooler lends any.
  }
}

/** Asked without values, so that nothing is prepared. */
async function sessionOf(sql: SQL): Promise<number> {
  const [row] = (await sql.unsafe("select pg_backend_pid()").values()) as [number][];
  return row![0];
}

/** Whether the server says that a prepared statement of this name is there already, or is not there. */
export function isMixedUp(error: unknown): boolean {
  return ["42P05", "26000"].includes(sqlState(error) ?? "");
}

/** The names that Bun gives to what it prepares, in each connection from P0 on. */
const namedByBun = /^P\d+$/;
const noRoom = /^53/;
