// Owns the reading of records. What is asked for in one turn of the loop is one statement.
import { type Key } from "../../format/key";
import { type ValueRecord, decodeRecord } from "../../format/record";
import { limits } from "../../limits";
import { besideOf, knownOf } from "../facts";
import { type Known, type KeyRange, type KnownValue, type RawEntry } from "../ledger";
import { getSeconds, timed } from "../measures";
import { type Database, type Patience } from "./connection";
import { bytesArray, debtsIn } from "./row";
import { keysTable } from "./schema";

/** A record and what lies beside it, as they are written down. */
type Texts = { readonly record: string; readonly facts: string | null };
type Asked = { readonly key: Key; readonly answer: PromiseWithResolvers<Texts | undefined> };

/** The reading of single records. */
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
      return knownOf(found && decodeRecord(found.record), found?.facts);
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

/** All that is known of all keys, or of those that owe something, page by page. */
export async function* knownKeys(database: Database, which: "all" | "owing" = "all"): AsyncGenerator<readonly Known[]> {
  const text = `select key, record, facts, owed from ${keysTable}
    where key > $1 and (owed is not null${which === "all" ? " or record is not null" : ""}) order by key limit $2::int`;
  let after: Uint8Array = new Uint8Array();
  for (;;) {
    const rows = await database.run(text, [after, limits.scanKeys]);
    if (rows.length === 0) return;
    yield (rows as [Key, string | null, string | null, unknown][]).map(([key, record, facts, owed]) => {
      const debts = debtsIn(owed, 0).map(({ volume, kind }) => ({ volume, kind }));
      const text = record ?? undefined;
      return { key, record: text, owed: debts, ...besideOf(text, facts) };
    });
    after = rows.at(-1)![0] as Uint8Array;
  }
}
