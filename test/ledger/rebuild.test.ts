// A rebuild of a ledger in a database: which debts it goes by and keeps, and when what it has made is put in place.
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { parseDatabaseUrl } from "../../src/ledger/postgres/address";
import { draftPostgres, makeNext } from "../../src/ledger/postgres/next";
import { openPostgresLedger } from "../../src/ledger/postgres/open";
import { temporaryFolder } from "../support/folder";
import { startPostgres, type Postgres } from "../support/postgres";
import { codeOf, emptyStore, holding, keyOf, live, opening } from "./ledgers";

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

test("nothing is put in place if the database went on from a standby since a rebuild or an import began", async () => {
  await using folder = temporaryFolder();
  chmodSync(folder.path, 0o777);
  await using primary = await startPostgres();
  const { address, query } = await emptyStore(primary, "rebuilt");
  await query("insert into mkv_keys (key, record, version) values ('/old', 'a:1', gen_random_uuid())");
  await primary.query("create database imported");
  await using rebuild = await makeNext(address, fromVolumes);
  await using draft = await draftPostgres(parseDatabaseUrl(primary.urlOf("imported")), { lack: undefined });
  await primary.copyTo(join(folder.path, "standby"));
  await rebuild.next.putAll([{ key: keyOf("/new"), record: live("a:1") }]);
  await draft.putAll([{ key: keyOf("/new"), record: "a:1", owed: [] }]);
  await primary.stop("SIGQUIT");
  await using standby = await startPostgres({ data: join(folder.path, "standby"), port: primary.port });
  await standby.query("select pg_promote()");
  expect(await codeOf(rebuild.swap())).toBe("failed");
  const inRebuilt = (text: string) => standby.queryIn("rebuilt", text);
  expect(await inRebuilt("select convert_from(key, 'utf8') as key from mkv_keys")).toEqual([{ key: "/old" }]);
  expect(await inRebuilt("select value from mkv_memory where name = 'behind'")).toEqual([{ value: "true" }]);
  expect(await codeOf(draft.finish(new Map()))).toBe("failed");
  expect(await standby.queryIn("imported", "select 1 from mkv_schema")).toEqual([]);
});

test("nothing is put in place if a master was cut off as a rebuild began, came back, and has ended since", async () => {
  const { address, query, keys } = await emptyStore(server, "cut_off");
  const { ledger } = await openPostgresLedger(address, opening);
  await query("update mkv_processes set seen = now() - interval '1 hour' where kind = 'master'");
  await using rebuild = await makeNext(address, fromVolumes);
  const claim = await ledger.claim(keyOf("/acknowledged"), () => holding("a:1"), { expect: "nothing" });
  await claim.end(holding("a:1"));
  await ledger[Symbol.asyncDispose]();
  expect(await codeOf(rebuild.swap())).toBe("failed");
  expect(await keys()).toEqual([{ key: "/acknowledged" }]);
});
