// A rebuild of a ledger in a database: which debts it goes by and keeps, and when what it has made is put in place.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { makeNext } from "../../src/ledger/postgres/next";
import { startPostgres, type Postgres } from "../support/postgres";
import { emptyStore, keyOf, live } from "./ledgers";

setDefaultTimeout(60_000);
let server: Postgres;
beforeAll(async () => void (server = await startPostgres()));
afterAll(async () => await server[Symbol.asyncDispose]());

const fromVolumes = { of: "volumes", allEpochs: async () => [] } as const;

test.each([
  { name: "current", behind: undefined, areKept: true },
  { name: "incomplete", behind: `"new"`, areKept: true },
  { name: "older_already", behind: `"debts forgotten"`, areKept: true },
  { name: "older", behind: "true", areKept: false },
])("what is owed is forgotten if it is of before a ledger was put back, else kept: $name", async (ledger) => {
  const { name, behind, areKept } = ledger;
  const { address, query } = await emptyStore(server, name);
  if (behind !== undefined) await query(`insert into mkv_memory values ('behind', '${behind}')`);
  await query(`insert into mkv_keys (key, record, owed, version, due) values
    ('/deleted', null, '{"left-over 0 0 a:1"}', gen_random_uuid(), now()),
    ('/moved', 'b:1', '{"stray 0 0 a:1"}', gen_random_uuid(), now())`);
  await using made = await makeNext(address, fromVolumes);
  const owed = await made.owedBy((volume) => volume);
  expect([...owed.keys()].length).toBe(areKept ? 2 : 0);
  await made.next.putAll([{ key: keyOf("/moved"), record: live("b:1") }]);
  await made.swap();
  const rows = await query(
    "select convert_from(key, 'utf8') as key, owed is not null as owes from mkv_keys order by key",
  );
  const moved = { key: "/moved", owes: areKept };
  expect(rows).toEqual(areKept ? [{ key: "/deleted", owes: true }, moved] : [moved]);
  expect(await query("select 1 from mkv_memory where name = 'behind'")).toEqual([]);
});
