// Owns the look for keys that owe something and are due, those of masters that died among them. All masters look: whoever
// claims a key first pays.
import { nowMs } from "../../clock";
import { type Key } from "../../format/key";
import { limits } from "../../limits";
import { type Debt } from "../ledger";
import { keysOwed } from "../measures";
import { type Database } from "./connection";
import { debtsIn } from "./row";
import { keysTable } from "./schema";

const duePage = `select key, owed, (extract(epoch from now() - written) * 1000)::float8, due::text from ${keysTable}
  where due <= now() and (due, key) > ($1::timestamptz, $2::bytea) order by due, key limit $3::int`;

const countOwing = `select count(*)::int from
  (select 1 from ${keysTable} where due is not null and not held limit $1::int) as owing`;

const howFar = `select
  (select (value::jsonb ->> 'count')::float8 from mkv_memory where name = 'epoch'),
  (select count(*)::int from mkv_memory where name = 'behind' and value <> '"new"')`;

const first = ["-infinity", new Uint8Array()] as const;

/**
 * The keys that owe something.
 * @param options.isOlder whether it was known when the ledger was opened that this is an older one
 */
export function debtsOf(database: Database, { isOlder }: { readonly isOlder: boolean }) {
  let after: readonly [due: string, key: Uint8Array] = first;
  let countedMs = Number.NEGATIVE_INFINITY;
  let owing = 0;
  let farthest = 0;
  /** Whether the database was put back since it was opened: its debts are of then, and whoever has not ended yet pays none. */
  async function wentBack(): Promise<boolean> {
    const [row] = await database.run(howFar);
    const [count, behind] = row as [count: number | null, behind: number];
    farthest = Math.max(farthest, count ?? 0);
    return (count ?? 0) < farthest || (behind > 0 && !isOlder);
  }
  return {
    /** How many there were when they were counted last; of very many not all are. */
    get owing() {
      return owing;
    },
    /** The next of those that are due, longest waiting first: one page a call, from the first again after the last. */
    async *due(): AsyncGenerator<readonly { readonly key: Key; readonly owed: readonly Debt[] }[]> {
      if (nowMs() > countedMs + limits.countMs) {
        countedMs = nowMs();
        const [row] = await database.run(countOwing, [limits.debts]);
        owing = row![0] as number;
        keysOwed.set(owing);
      }
      const rows = await database.run(duePage, [...after, limits.batchRecords]);
      owing = Math.max(owing, rows.length); // Some have come due since they were counted.
      const last = rows.length < limits.batchRecords ? undefined : rows.at(-1);
      after = last ? [last[3] as string, last[0] as Uint8Array] : first;
      const isOfThen = await wentBack(); // Asked after them; and if there are none, so that it is known how far that was.
      if (rows.length > 0 && !isOfThen)
        yield rows.map(([key, owed, ageMs]) => ({ key: key as Key, owed: debtsIn(owed, ageMs) }));
    },
  };
}
