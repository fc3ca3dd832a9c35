// A database in which statements wait for a standby that is away: nobody sees them before it is back, and there are few.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { databaseLimits } from "../../src/database-limits";
import { parseDatabaseUrl } from "../../src/ledger/postgres/address";
import { Database } from "../../src/ledger/postgres/connection";
import { hasSchema, makeTables } from "../../src/ledger/postgres/schema";
import { limited } from "../support/limited";
import { type Postgres, startPostgres } from "../support/postgres";
import { until } from "../support/until";

setDefaultTimeout(60_000);
const STATEMENTS = 4; // As many as a thread has connections.
let server: Postgres;
beforeAll(async () => {
  server = await startPostgres();
  await server.query("create table rows (id int primary key)");
});
afterAll(() => server[Symbol.asyncDispose]());

async function waitForStandby(name: string): Promise<void> {
  await server.query(`alter system set synchronous_standby_names = '${name}'`);
  await server.query("select pg_reload_conf()");
  const isSet = async () => Object.values((await server.query("show synchronous_standby_names"))[0]!)[0] === name;
  await until(isSet, { what: "the server knows its standby" });
}

const rows = async () => (await server.query("select from rows")).length;

test("what waits for a standby is not shown, and takes no further connections, until the standby is there", async () => {
  await using database = new Database(parseDatabaseUrl(server.url));
  await waitForStandby("nobody");
  const ids = Array.from({ length: STATEMENTS }, (_, id) => id);
  const add = (id: number) => database.run("insert into rows values ($1) on conflict do nothing", [id]);
  const whys = await Promise.all(
    ids.map((id) =>
      add(id).then(
        () => "added",
        (error: Error) => error.message,
      ),
    ),
  );
  for (const why of whys) expect(why).toContain("cannot be asked");
  const asked = database.run("select 1").then(
    () => "answered",
    (error: Error) => error.message,
  );
  expect(await asked).toContain(`${STATEMENTS} statements are stuck there`);
  expect(await rows()).toBe(0);
  expect((await server.backendsOf("postgres")).length).toBeLessThanOrEqual(STATEMENTS + 1);

  await waitForStandby("");
  await until(async () => (await rows()) === STATEMENTS, { what: "all are carried out" });
  expect(await database.run("select 1")).toEqual([[1]]);
});

test("what the database refuses is told with what to do about it", async () => {
  await server.query("create role guest login");
  await server.query("create database guarded");
  const address = parseDatabaseUrl(server.urlOf("guarded").replace("mkv@", "guest@"));
  await using database = new Database(address);
  const why = (asked: Promise<unknown>) =>
    asked.then(
      () => "allowed",
      ({ message }) => message as string,
    );
  const rights = "permission denied.*: see docs/several-masters.md for what the user must be allowed to do";
  expect(await why(database.run("execute never_prepared"))).toMatch(/refuses: .*: a pooler shares sessions/);
  expect(await why(makeTables(database))).toMatch(new RegExp(`${rights}$`));
  const tables = [
    "create table mkv_schema as select 1 as version",
    "create table mkv_memory (name bytea, value text, version uuid)",
    "grant select on mkv_schema to guest",
  ];
  for (const text of tables) await server.queryIn("guarded", text);
  expect(await why(hasSchema(database))).toMatch(new RegExp(`${rights}$`));
  await server.queryIn("guarded", "grant select on mkv_memory to guest");
  expect(await hasSchema(database)).toBe(true);
});

test("a long statement waits for a database that has been away for long, as a request does not", async () => {
  await using other = await startPostgres();
  await using database = new Database(parseDatabaseUrl(other.url));
  using _soon = limited(databaseLimits, { patienceMs: 200, awayMs: 50 });
  await other.stop();
  const ask = () => database.run("select 1").catch(({ code }) => code);
  for (let i = 0; i < 2; i++) expect(await ask()).toBe("away");
  const long = database.run("select 1", [], "long").catch(({ code }) => code);
  expect(await ask()).toBe("away");
  await other.start();
  expect(await long).toEqual([[1]]);
});
