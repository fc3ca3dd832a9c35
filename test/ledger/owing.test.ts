// Keys that owe something, in a database: found by their index alone, in the order of their time, each once.
import { afterAll, beforeAll, expect, setDefaultTimeout, spyOn, test } from "bun:test";
import { makeNext } from "../../src/ledger/postgres/next";
import { Database } from "../../src/ledger/postgres/connection";
import { openPostgresLedger } from "../../src/ledger/postgres/open";
import { limits } from "../../src/limits";
import { limited } from "../support/limited";
import { startPostgres, type Postgres } from "../support/postgres";
import { emptyStore, keyOf, opening } from "./ledgers";

setDefaultTimeout(60_000);
let server: Postgres;
beforeAll(async () => void (server = await startPostgres()));
afterAll(async () => await server[Symbol.asyncDispose]());

const rebuild = { of: "volumes", allEpochs: async () => [] } as const;
const textOf = (key: Uint8Array) => Buffer.from(key).toString();

test("however the server writes a time, what is owed is found in the order of time, page by page", async () => {
  const { address, query } = await emptyStore(server, "summer_time");
  await query("alter database summer_time set timezone = 'Europe/Berlin'");
  await query(`insert into mkv_keys (key, owed, version, due) values
    ('/earlier', '{"left-over 0 0 a:1"}', gen_random_uuid(), '2025-10-26 02:30:00+02'),
    ('/later', '{"left-over 0 0 a:1"}', gen_random_uuid(), '2025-10-26 02:10:00+01')`);
  {
    await using ledger = (await openPostgresLedger(address, opening)).ledger;
    const [page] = await Array.fromAsync(ledger.due());
    expect(page!.map(({ key }) => textOf(key))).toEqual(["/earlier", "/later"]);
  }
  using _small = limited(limits, { scanKeys: 1 });
  await using made = await makeNext(address, rebuild);
  const owed = await made.owedBy((volume) => volume);
  expect([...owed.keys()]).toEqual([keyOf("/earlier").toHex(), keyOf("/later").toHex()]);
});

test("a key that is claimed by a master that died, and owes nothing, is not looked at again and again", async () => {
  const { address, query } = await emptyStore(server, "died");
  await query(`insert into mkv_keys (key, version, held, due) values ('/key', gen_random_uuid(), true, now())`);
  await using ledger = (await openPostgresLedger(address, opening)).ledger;
  expect(await Array.fromAsync(ledger.due())).toEqual([]);
});

test.each([
  { which: "few", every: 10_000 },
  { which: "half of all", every: 2 },
])("whether $which owe something, their index is all that is read, and nothing is sorted", async ({ every }) => {
  const name = `one_in_${every}`;
  const { address, query } = await emptyStore(server, name);
  const owes = (value: string) => `case when i % ${every} = 0 then ${value} end`;
  await query(`insert into mkv_keys (key, record, owed, version, due)
    select convert_to('/' || md5(i::text), 'utf8'), 'a:1', ${owes(`'{"left-over 0 0 b:1"}'::text[]`)}, gen_random_uuid(),
      ${owes("now() - i * interval '1 s'")} from generate_series(1, 50000) as i`);
  await query("analyze mkv_keys");
  const run = spyOn(Database.prototype, "run");
  using _spying = { [Symbol.dispose]: () => run.mockRestore() };
  {
    await using ledger = (await openPostgresLedger(address, opening)).ledger;
    await Array.fromAsync(ledger.due());
  }
  await using made = await makeNext(address, rebuild);
  await made.owedBy((volume) => volume);
  const texts = new Set(run.mock.calls.map(([text]) => text).filter((text) => text.includes("(due, key) >")));
  expect(texts.size).toBe(2);
  for (const text of texts) {
    const plan = await server.queryIn(name, `prepare one as ${text}; explain execute one ('-infinity', '', 1000)`);
    const lines = JSON.stringify(plan);
    expect(lines).toContain("Index Scan using mkv_keys_due");
    expect(lines).not.toMatch(/Sort|Seq Scan/);
  }
});
