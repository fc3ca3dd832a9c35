// Owns the reading of rows.
// 1. Records that are asked for in one turn of the loop are read by one statement.
// 2. Keys that owe something and are due are looked for by all masters, those of masters that died among them: whoever claims
//    a key first pays.
import { nowMs } from "../../clock";
import { type Key } from "../../format/key";
import { type ValueRecord, decodeRecord } from "../../format/record";
import { databaseLimits } from "../../database-limits";
import { limits } from "../../limits";
import { knownOf, dumpOf } from "../facts";
import {
  type Age,
  type BareDebt,
  type Debt,
  type Known,
  type KeyRange,
  type KnownValue,
  type RawEntry,
} from "../ledger";
import { getSeconds, keysOwed, timed } from "../measures";
import { type Database, type Patience } from "./connection";
import { bytesArray, debtsIn } from "./row";
import { keysTable } from "./schema";

/** A record and what lies beside it, as they are written down. */
type Texts = { readonly record: string; readonly facts: string | null };
type Asked = { readonly key: Key; readonly answer: PromiseWithResolvers<Texts | undefined> };

export function readsOf(database: Database) {
  let asked = new Map<string, Asked>();
  const find = (key: Key): Promise<Texts | undefined> => {
    const name = key.toHex();
    const known = asked.get(name);
    if (known) return known.answer.promise;
    if (asked.size === 0) setImmediate(send);
    const answer = Promise.withResolvers<Texts | undefined>();
    asked.set(name, { key, answer });
    if (asked.size >= limits.batchRecords) send();
    return answer.promise;
  };
  const send = () => {
    const sent = asked;
    if (sent.size === 0) return;
    asked = new Map();
    const keys = bytesArray([...sent.values()].map(({ key }) => key));
    timed(getSeconds, database.run(getRecords, [keys])).then(
      (rows) => {
        for (const [key, record, facts] of rows as [Key, string, string | null][])
          sent.get(key.toHex())!.answer.resolve({ record, facts });
        for (const { answer } of sent.values()) answer.resolve(undefined); // All that have none.
      },
      (error) => {
        for (const { answer } of sent.values()) answer.reject(error);
      },
    );
  };
  return {
    async get(key: Key): Promise<ValueRecord | undefined> {
      const found = await find(key);
      return found && decodeRecord(found.record);
    },
    async look(key: Key): Promise<KnownValue> {
      const found = await find(key);
      return knownOf(key, found && decodeRecord(found.record), found?.facts);
    },
  };
}

const getRecords = `select key, record, facts from ${keysTable} where key = any($1::bytea[]) and record is not null`;

/** The records of a range, page by page: each is as it was when it was read. */
export async function* scanTable(
  database: Database,
  table: string,
  { start = new Uint8Array(), end }: KeyRange,
  { atOnce = limits.scanKeys, patience }: { atOnce?: number; patience?: Patience } = {},
): AsyncGenerator<readonly RawEntry[]> {
  const until = end ? "and key < $3" : "";
  const read = (from: Uint8Array, is: ">=" | ">", keys: number) => {
    const text = `select key, record from ${table}
      where key ${is} $1 ${until} and record is not null order by key limit $2::int`;
    return database.run(text, [from, Math.min(keys, limits.scanKeys), ...(end ? [end] : [])], patience);
  };
  let wanted = atOnce;
  let page = (await read(start, ">=", wanted)) as unknown as readonly RawEntry[];
  while (page.length > 0) {
    const isLast = page.length < Math.min(wanted, limits.scanKeys);
    wanted *= 4; // Most of these records are skipped, where there were not enough: read four times as many next.
    const next = isLast ? undefined : read(page.at(-1)![0], ">", wanted); // While the caller is at work on this one.
    next?.catch(() => {}); // It is awaited below, unless the caller wants no more.
    yield page;
    page = ((await next) ?? []) as unknown as readonly RawEntry[];
  }
}

/** All that is known of all keys, page by page. */
export async function* knownKeys(database: Database): AsyncGenerator<readonly Known[]> {
  const text = `select key, record, facts, owed from ${keysTable}
    where key > $1 and (owed is not null or record is not null) order by key limit $2::int`;
  let after: Uint8Array = new Uint8Array();
  for (;;) {
    const rows = await database.run(text, [after, limits.scanKeys]);
    if (rows.length === 0) return;
    yield (rows as [Key, string | null, string | null, unknown][]).map(([key, record, facts, owed]) =>
      dumpOf(key, record ?? undefined, { facts, owed: bareDebtsIn(owed) }),
    );
    after = rows.at(-1)![0] as Uint8Array;
  }
}

/** A key that owes something. */
type Owing = { readonly key: Key; readonly record: string | undefined; readonly owed: readonly BareDebt[] };

/** All keys that owe something, page by page, while nobody is at work. */
export async function* keysOwing(database: Database): AsyncGenerator<readonly Owing[]> {
  const text = `select due::text, key, record, owed from ${keysTable}
    where due is not null and owed is not null and (due, key) > ($1::timestamptz, $2::bytea) ${byDue} limit $3::int`;
  for (let after: DueAfter = first; ;) {
    const rows = (await database.run(text, [...after, limits.scanKeys], "long")) as DueRow[];
    const last = rows.at(-1);
    if (!last) return;
    yield rows.map(([, key, record, owed]) => ({ key, record: record ?? undefined, owed: bareDebtsIn(owed) }));
    after = [last[0], last[1]];
  }
}

function bareDebtsIn(owed: unknown): BareDebt[] {
  return debtsIn(owed, 0).map(({ volume, kind }) => ({ volume, kind }));
}

type DueRow = readonly [due: string, key: Key, record: string | null, owed: unknown];
type DueAfter = readonly [due: string, key: Uint8Array];
const first: DueAfter = ["-infinity", new Uint8Array()];

/** As its index has them. (What is called `due` alone would be the text that is asked for.) */
const byDue = `order by ${keysTable}.due, ${keysTable}.key`;

const duePage = `select key, owed, (extract(epoch from now() - written) * 1000)::float8, due::text from ${keysTable}
  where due <= now() and owed is not null and (due, key) > ($1::timestamptz, $2::bytea) ${byDue} limit $3::int`;

const countOwing = `select count(*)::int from
  (select 1 from ${keysTable} where due is not null and not held limit $1::int) as owing`;

const howFar = `select
  (select (value::jsonb ->> 'count')::float8 from mkv_memory where name = 'epoch'),
  (select count(*)::int from mkv_memory where name = 'behind' and value <> '"new"')`;

/**
 * The keys that owe something.
 * @param age of the ledger, as it was when it was opened
 */
export function debtsOf(database: Database, age: Age) {
  let after = first;
  let countedMs = Number.NEGATIVE_INFINITY;
  let owing = 0;
  let farthest = 0;
  /** Whether the database was put back since it was opened: its debts are of then, and whoever has not ended yet pays none. */
  async function wentBack(): Promise<boolean> {
    const [row] = await database.run(howFar);
    const [count, behind] = row as [count: number | null, behind: number];
    farthest = Math.max(farthest, count ?? 0);
    return (count ?? 0) < farthest || (behind > 0 && age !== "older");
  }
  return {
    /** How many there were when they were counted last; of very many not all are. */
    get owing() {
      return owing;
    },
    /** The next of those that are due, longest waiting first: one page a call, from the first again after the last. */
    async *due(): AsyncGenerator<readonly { readonly key: Key; readonly owed: readonly Debt[] }[]> {
      if (nowMs() > countedMs + databaseLimits.countMs) {
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
