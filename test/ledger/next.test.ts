// A new table in the place of the old one, and a ledger that was put back: whatever runs late, or comes back, no word of a master is lost.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { databaseLimits } from "../../src/database-limits";
import { MkvError } from "../../src/errors";
import { type Ledger } from "../../src/ledger/ledger";
import { parseDatabaseUrl } from "../../src/ledger/postgres/address";
import { type KeysTable, draftPostgres, makeNext } from "../../src/ledger/postgres/next";
import { openPostgresLedger } from "../../src/ledger/postgres/open";
import { startPostgres, type Postgres } from "../support/postgres";
import { limited } from "../support/limited";
import { codeOf, debt, emptyStore, holding, isNew, opening, keyOf, live, same } from "./ledgers";

setDefaultTimeout(60_000);
let server: Postgres;
beforeAll(async () => void (server = await startPostgres()));
afterAll(async () => await server[Symbol.asyncDispose]());

const put = (table: KeysTable, key: string) => codeOf(table.putAll([{ key: keyOf(key), record: live("a:1") }]));

test("nothing is put in place if a master is back that had been cut off when the rebuild began", async () => {
  const { address, query, keys } = await emptyStore(server, "cut_off");
  await using made = await makeNext(address, { of: "volumes", allEpochs: async () => [] });
  await put(made.next, "/new");
  await query("insert into mkv_processes values (gen_random_uuid(), 'master', 'far away', now())");
  expect(await codeOf(made.swap())).toBe("failed");
  expect(await keys()).toEqual([]);
});

test("one that counts as dead puts nothing into a later one, nor in its place", async () => {
  const { address, query, keys } = await emptyStore(server, "dead");
  await using dead = await makeNext(address, { of: "backup", lack: undefined });
  expect(await put(dead.next, "/dead")).toBe("done");
  await query("update mkv_processes set seen = now() - interval '1 hour'");
  expect(await codeOf(dead.swap())).toBe("failed");
  expect(await keys()).toEqual([]);
  await using later = await makeNext(address, { of: "volumes", allEpochs: async () => [] });
  expect(await put(later.next, "/later")).toBe("done");
  expect(await put(dead.next, "/dead")).toBe("failed");
  expect(await codeOf(dead.swap())).toBe("failed");
  await dead[Symbol.asyncDispose]();
  await later.swap();
  expect(await keys()).toEqual([{ key: "/later" }]);
});

test("a record that cannot be read does not stand in the way of a rebuild, and its file is not taken for a left-over", async () => {
  const { address, query } = await emptyStore(server, "damaged");
  const owed = `'{"in-flight 0 0 a:1"}', gen_random_uuid(), now()`;
  await query(`insert into mkv_keys (key, record, owed, version, due)
    values ('/damaged', 'no record', ${owed}), ('/owing', null, ${owed})`);
  await using made = await makeNext(address, { of: "volumes", allEpochs: async () => [] });
  const found = await made.owedBy((volume) => volume);
  expect([...found.keys()].map((hex) => Buffer.from(hex, "hex").toString())).toEqual(["/owing"]);
});

test("what lies beside the records, and what is owed, goes along for all keys, however many", async () => {
  const { address, query } = await emptyStore(server, "many");
  const number = "'/' || lpad(i::text, 5, '0')";
  await query(`insert into mkv_keys (key, record, facts, owed, version)
    select convert_to(${number}, 'utf8'), 'a:1', 'facts of ' || i, '{"left-over 0 0 b:1"}', gen_random_uuid()
    from generate_series(1, 4500) as i`);
  await using made = await makeNext(address, { of: "volumes", allEpochs: async () => [] });
  const keys = Array.from({ length: 4500 }, (_, i) => keyOf(`/${String(i + 1).padStart(5, "0")}`));
  await made.next.putAll(keys.map((key) => ({ key, record: live("c:1") })));
  await made.swap();
  const kept =
    "facts = 'facts of ' || substr(convert_from(key, 'utf8'), 2)::int and owed is not null and due is not null";
  expect(
    await query(`select count(*)::int as keys, count(*) filter (where ${kept})::int as kept from mkv_keys`),
  ).toEqual([{ keys: 4500, kept: 4500 }]);
});

test("an import is refused where a store has no keys, but files that are no values", async () => {
  const { address, query } = await emptyStore(server, "owing");
  await query(`insert into mkv_keys (key, owed, version) values ('/key', '{"in-flight 0 0 a:1"}', gen_random_uuid())`);
  await expect(draftPostgres(address, { lack: undefined })).rejects.toThrow("is not empty");
});

test("an import knows nothing of how far the store had come when the database was emptied: the volumes do", async () => {
  const { address, query } = await emptyStore(server, "emptied");
  const store = crypto.randomUUID();
  await query(`insert into mkv_memory values ('epoch', '${JSON.stringify({ store, count: 3 })}')`);
  await using draft = await draftPostgres(address, { lack: undefined });
  await draft.finish(new Map());
  await draft[Symbol.asyncDispose]();
  const surroundings = { ...opening, seenEpochs: async () => [{ store, count: 5 }] };
  await using ledger = (await openPostgresLedger(address, surroundings)).ledger;
  expect(ledger.age).toBe("current");
});

test("a ledger that was put back forgets once what was owed and claimed then", async () => {
  const { address, query } = await emptyStore(server, "put_back");
  const rows = () => query("select convert_from(key, 'utf8') as key, owed, held, due from mkv_keys");
  const open = async () => (await openPostgresLedger(address, opening)).ledger;
  const claim = (ledger: Ledger, key: string) =>
    ledger.claim(keyOf(key), () => ({ record: undefined, owed: [debt("a:1")] }), { expect: "nothing" });
  await using before = await open();
  await claim(before, "/begun");
  const stored = await claim(before, "/stored");
  await stored.end({ ...holding("b:1"), owed: [debt("a:1", "left-over")] });
  await query("insert into mkv_memory values ('behind', 'true')");
  await using later = await open();
  expect(await rows()).toEqual([{ key: "/stored", owed: null, held: false, due: null }]);
  await claim(later, "/new");
  await using _again = await open();
  expect(await rows()).toHaveLength(2);
});

test("a database that went on from a standby is older, unless that was known to have all", async () => {
  const { address, query } = await emptyStore(server, "failed_over");
  const behind = () => query("select 1 from mkv_memory where name = 'behind'");
  const open = async () => await (await openPostgresLedger(address, opening)).ledger[Symbol.asyncDispose]();
  await open();
  expect((await behind()).length).toBe(0);
  for (const isSynchronous of [true, false]) {
    const before = `jsonb_set(jsonb_set(value::jsonb, '{timeline}', '0'), '{isSynchronous}', '${isSynchronous}')`;
    await query(`update mkv_memory set value = ${before}::text where name = 'timeline'`);
    await open();
    expect([isSynchronous, (await behind()).length]).toEqual([isSynchronous, isSynchronous ? 0 : 1]);
  }
});

const fromVolumes = { of: "volumes", allEpochs: async () => [] } as const;

test("a rebuild is refused while keys are claimed by a master that died, or too many owe something", async () => {
  const { address, query } = await emptyStore(server, "claimed");
  await query(`insert into mkv_keys (key, owed, version, held, due)
    values ('/key', '{"in-flight 0 0 a:1"}', gen_random_uuid(), true, now() + interval '1 minute')`);
  await expect(makeNext(address, fromVolumes)).rejects.toThrow("keys are still claimed by a master that died");
  await query("update mkv_keys set due = now()");
  await using made = await makeNext(address, fromVolumes);
  using _few = limited(databaseLimits, { owedInRebuild: 0 });
  await expect(made.owedBy((volume) => volume)).rejects.toThrow("more than 0 keys owe something");
});

test("a rebuild whose table could not be put in place has failed, and nothing has changed", async () => {
  const { address, query, keys } = await emptyStore(server, "in_the_way");
  await using made = await makeNext(address, fromVolumes);
  await made.next.putAll([{ key: keyOf("/key"), record: live("a:1") }]);
  await query("alter index mkv_keys_due rename to other");
  await query("create table mkv_keys_due ()");
  expect(await codeOf(made.swap())).toBe("failed");
  expect(await keys()).toEqual([]);
  await query("drop table mkv_keys_due");
  await made.swap();
  expect(await keys()).toEqual([{ key: "/key" }]);
});

test("a ledger out of a backup that is not the latest is older", async () => {
  const { address } = await emptyStore(server, "of_before");
  await using draft = await draftPostgres(address, { lack: { why: "was imported", fromMs: 0, laterMs: undefined } });
  await draft.finish(new Map());
  await draft[Symbol.asyncDispose]();
  await using ledger = (await openPostgresLedger(address, opening)).ledger;
  expect(ledger.age).toBe("older");
});

test("a master that finds values where it would make a store goes on if another has made it meanwhile", async () => {
  await server.query("create database raced");
  const address = parseDatabaseUrl(server.urlOf("raced"));
  const refuse = () => Promise.reject(new MkvError("failed", "there are values"));
  const none = openPostgresLedger(address, { ...opening, onMissing: refuse });
  await expect(none).rejects.toThrow("there are values");
  await using first = new AsyncDisposableStack();
  const onMissing = async () => {
    first.use((await openPostgresLedger(address, { ...opening, onMissing: isNew })).ledger);
    return await refuse();
  };
  await using ledger = (await openPostgresLedger(address, { ...opening, onMissing })).ledger;
  expect(ledger.age).toBe("current");
});

test("a first start that is cut short leaves no store that counts as complete, where not all volumes could be looked at", async () => {
  await server.query("create database unsure");
  const address = parseDatabaseUrl(server.urlOf("unsure"));
  const query = (text: string) => server.queryIn("unsure", text);
  const open = () => openPostgresLedger(address, { ...opening, onMissing: async () => ({ isSure: false }) });
  const refused = `check (value <> '"new"')`; // As if it had died just before.
  await query(
    `create table mkv_memory (name bytea primary key, value text not null constraint no ${refused}, version uuid)`,
  );
  expect(await codeOf(open())).toBe("failed");
  await query("alter table mkv_memory drop constraint no");
  await using ledger = (await open()).ledger;
  expect(ledger.age).toBe("incomplete");
});

test("a claim that another has taken over ends nothing of his, and is told why the database refuses", async () => {
  const { address, query } = await emptyStore(server, "taken");
  await using ledger = (await openPostgresLedger(address, opening)).ledger;
  const [lost, refused] = [await ledger.claim(keyOf("/lost"), same), await ledger.claim(keyOf("/refused"), same)];
  await query("update mkv_keys set version = gen_random_uuid() where key = '/lost'");
  expect(await codeOf(lost.end({ record: undefined, owed: [] }))).toBe("unavailable");
  await query("alter table mkv_keys add check (record is null)");
  const failure = await refused.end(holding("a:1")).catch(({ message }) => message);
  expect(failure).toMatch(/refuses: .*check constraint(?!.*may be done all the same)/);
  expect(await query("select 1 from mkv_keys")).toHaveLength(2);
});
