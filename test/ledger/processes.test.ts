// Who is at work on a store in a database: whoever has ended is not said to be there.
import { SQL } from "bun";
import { expect, setDefaultTimeout, test } from "bun:test";
import { databaseLimits } from "../../src/database-limits";
import { parseDatabaseUrl } from "../../src/ledger/postgres/address";
import { openPostgresLedger } from "../../src/ledger/postgres/open";
import { startPostgres } from "../support/postgres";
import { limited } from "../support/limited";
import { until } from "../support/until";
import { opening } from "./ledgers";

setDefaultTimeout(60_000);

/** A rebuild that is at work for long. */
const anotherRebuild =
  "insert into mkv_processes values (gen_random_uuid(), 'rebuild', 'far away', now() + interval '1 hour')";

test("a process that has ended is not there again, whatever a frozen connection still has in hand", async () => {
  await using server = await startPostgres();
  await server.query("create database store");
  const url = server.urlOf("store");
  using _often = limited(databaseLimits, { presentMs: 200 });
  const { ledger } = await openPostgresLedger(parseDatabaseUrl(url), opening);
  const here = () => server.queryIn("store", "select 1 from mkv_processes where kind <> 'left'");
  const waiting = () => server.query("select pid from pg_stat_activity where wait_event_type = 'Lock'");
  await server.queryIn("store", "delete from mkv_processes"); // As when it is put back.
  await until(async () => (await here()).length > 0, { what: "it says again that it is there" });
  await using operator = new SQL(url, { max: 1 });
  await operator.unsafe("begin");
  await operator.unsafe("lock table mkv_processes in share row exclusive mode");
  await until(async () => (await waiting()).length > 0, { what: "it says that it is there", deadlineMs: 8_000 });
  using frozen = new DisposableStack();
  for (const { pid } of await waiting()) frozen.use(server.freeze(pid as number));
  await operator.unsafe("commit");
  await ledger[Symbol.asyncDispose]();
  expect((await here()).length).toBe(0);
  frozen.dispose();
  await until(async () => (await server.backendsOf("store")).length === 1, { what: "what was frozen has ended" });
  expect((await here()).length).toBe(0);
});

test("a master that finds a rebuild, after it was cut off, is told to end; one that would start leaves no trace", async () => {
  await using server = await startPostgres();
  const address = parseDatabaseUrl(server.url);
  using _often = limited(databaseLimits, { presentMs: 200 });
  const { promise: told, resolve: onRebuild } = Promise.withResolvers<string>();
  const { ledger } = await openPostgresLedger(address, { ...opening, onRebuild });
  await server.query(anotherRebuild);
  expect(await told).toMatch(/^at work on this store: a rebuild or import on far away: wait until it has ended/);
  await ledger[Symbol.asyncDispose]();
  const kinds = async () =>
    (await server.query("select kind from mkv_processes order by kind")).map(({ kind }) => kind);
  expect(await kinds()).toEqual(["left", "rebuild"]);
  await expect(openPostgresLedger(address, opening)).rejects.toThrow("wait until it has ended");
  expect(await kinds()).toEqual(["left", "rebuild"]);
});
