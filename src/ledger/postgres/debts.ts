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

const first = ["-infinity", new Uint8Array()] as const;

/** The keys that owe something. */
export function debtsOf(database: Database) {
  let after: readonly [due: string, key: Uint8Array] = first;
  let countedMs = Number.NEGATIVE_INFINITY;
  let owing = 0;
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
      const last = rows.length < limits.batchRecords ? undefined : rows.at(-1);
      after = last ? [last[3] as string, last[0] as Uint8Array] : first;
      if (rows.length > 0) yield rows.map(([key, owed, ageMs]) => ({ key: key as Key, owed: debtsIn(owed, ageMs) }));
    },
  };
}
