// What a store in a database remembers beside its keys: the last word counts, whatever hung before it.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { SQL } from "bun";
import { parseDatabaseUrl } from "../../src/ledger/postgres/address";
import { openPostgresLedger } from "../../src/ledger/postgres/open";
import { startPostgres, type Postgres } from "../support/postgres";
import { until } from "../support/until";
import { opening } from "./ledgers";

setDefaultTimeout(60_000);
let server: Postgres;
beforeAll(async () => void (server = await startPostgres()));
afterAll(async () => await server[Symbol.asyncDispose]());

/** Two masters of this server's store. */
async function twoMasters() {
  const open = () => openPostgresLedger(parseDatabaseUrl(server.url), opening);
  const ledgers = (await Promise.all([open(), open()])).map(({ ledger }) => ledger);
  return {
    memories: ledgers.map(({ memory }) => memory),
    [Symbol.asyncDispose]: async () => void (await Promise.all(ledgers.map((one) => one[Symbol.asyncDispose]()))),
  };
}

test("the table of an earlier mkv, which knew no versions, is used, and changed by all masters", async () => {
  await using _made = await twoMasters();
  await server.query("delete from mkv_memory");
  await server.query("alter table mkv_memory drop column version");
  await server.query("insert into mkv_memory values ('replaced', '1'), ('deleted', '1')");
  await using at = await twoMasters();
  const [one, other] = at.memories as [(typeof at.memories)[0], (typeof at.memories)[0]];
  for (const memory of [one, other]) await memory.put("replaced", memory === one ? 2 : 3);
  await one.delete("deleted");
  expect([await one.get("replaced"), await one.get("deleted")]).toEqual([3, undefined]);
});

test("what is remembered is not undone by an earlier statement that hung", async () => {
  await using at = await twoMasters();
  const [one, other] = at.memories as [(typeof at.memories)[0], (typeof at.memories)[0]];
  await one.put("name", "first");
  let late: Promise<void> | undefined;
  using frozen = new DisposableStack();
  const sql = new SQL(server.url, { max: 1 });
  await sql.begin(async (holder) => {
    await holder`select 1 from mkv_memory for update`;
    late = one.put("name", "late");
    const waiting = async () =>
      (await server.query("select pid from pg_stat_activity where wait_event_type = 'Lock'"))[0];
    const { pid } = await until(waiting, { what: "it hangs" });
    frozen.use(server.freeze(pid as number));
  });
  await sql.close();
  await late; // On another connection: what hung is still to come.
  await other.put("name", "new");
  frozen.dispose();
  const active = "select 1 from pg_stat_activity where state = 'active' and backend_type = 'client backend'";
  await until(async () => (await server.query(active)).length === 1, { what: "what was frozen has ended" });
  expect(await one.get("name")).toBe("new");
});
