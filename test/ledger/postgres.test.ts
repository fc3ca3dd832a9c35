// A ledger in a database, when owners, connections and servers are lost: nobody is told what is not so, and nobody waits
// for longer than he was promised.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { nowMs } from "../../src/clock";
import { type Entry } from "../../src/ledger/ledger";
import { parseDatabaseUrl } from "../../src/ledger/postgres/address";
import { joinPostgresLedger, openPostgresLedger } from "../../src/ledger/postgres/open";
import { databaseLimits } from "../../src/database-limits";
import { startPostgres, type Postgres } from "../support/postgres";
import { until } from "../support/until";
import { codeOf, holding, opening, keyOf, same } from "./ledgers";

setDefaultTimeout(60_000);
let server: Postgres;
beforeAll(async () => void (server = await startPostgres()));
afterAll(async () => await server[Symbol.asyncDispose]());

const owing = (volume: string): Entry => ({
  record: undefined,
  owed: [{ volume, kind: "in-flight", sinceMs: nowMs(), untilMs: nowMs() }],
});

let databases = 0;
async function newUrl(): Promise<string> {
  const name = `store_${++databases}`;
  await server.query(`create database ${name}`);
  return server.url.replace(/postgres$/, name);
}

const open = (url: string) => openPostgresLedger(parseDatabaseUrl(url), opening);

/** One thread of each of two masters of a new store. */
async function twoMasters() {
  const url = await newUrl();
  const [first, second] = [await open(url), await open(url)];
  const name = url.split("/").at(-1)!;
  return {
    one: first.ledger,
    other: second.ledger,
    /** Another thread of the first, whose connections are its own. */
    thread: joinPostgresLedger(first.shared),
    name,
    /** Processes of the server that serve the connections of this store. */
    backends: () => server.backendsOf(name),
    /** Runs a statement in its database. */
    query: (text: string) => server.queryIn(name, text),
    async [Symbol.asyncDispose]() {
      await this.thread[Symbol.asyncDispose]();
      await Promise.all([first, second].map((opened) => opened.ledger[Symbol.asyncDispose]()));
    },
  };
}

/** How long it took, in milliseconds, and what came of it. */
async function timed(work: () => Promise<unknown>): Promise<[code: string, ms: number]> {
  const start = performance.now();
  return [await codeOf(work()), performance.now() - start];
}

test.concurrent("a claim that ran out is taken over with what it owed, and its owner can write no more", async () => {
  await using at = await twoMasters();
  const key = keyOf("/key");
  const claim = await at.one.claim(key, () => owing("a:1"), { expect: "nothing" });
  expect(await codeOf(at.other.claim(key, same))).toBe("busy");
  await at.query("update mkv_keys set due = now() - interval '1 second'");
  {
    await using next = await at.other.claim(key, same);
    expect(next.entry.owed).toMatchObject([{ volume: "a:1", kind: "in-flight" }]);
    expect(await codeOf(claim.put(holding("a:1")))).toBe("unavailable");
    expect(await codeOf(claim.end(holding("a:1")))).toBe("unavailable");
    await claim[Symbol.asyncDispose]();
    await next.end(holding("b:1"));
  }
  expect((await at.one.get(key))?.volumes).toEqual(["b:1"]);
});

test.concurrent("a clock of the database that is set forward hands over no claim whose owner is at work", async () => {
  const url = await newUrl();
  const name = url.split("/").at(-1)!;
  await server.queryIn(name, "create table clock as select interval '0' as ahead");
  await server.queryIn(
    name,
    "create function public.now() returns timestamptz return pg_catalog.now() + (select ahead from public.clock)",
  );
  await server.query(`alter database ${name} set search_path = public, pg_catalog`);
  const [first, second] = [await open(url), await open(url)];
  await using one = first.ledger;
  await using other = second.ledger;
  const claim = await one.claim(keyOf("/key"), () => owing("a:1"), { expect: "nothing" });
  expect(await codeOf(other.claim(keyOf("/key"), same))).toBe("busy");
  await server.queryIn(name, "update clock set ahead = interval '1 hour'");
  expect(await codeOf(other.claim(keyOf("/key"), same))).toBe("busy");
  await claim.end(holding("a:1"));
  await using next = await other.claim(keyOf("/key"), same);
  expect(next.entry.record?.volumes).toEqual(["a:1"]);
});

test.concurrent("what a master that died owes is due for the others, once its claim has run out", async () => {
  await using at = await twoMasters();
  await at.one.claim(keyOf("/key"), () => owing("a:1"), { expect: "nothing" });
  const due = async () => (await Array.fromAsync(at.other.due())).flat().map(({ key }) => Buffer.from(key).toString());
  expect(await due()).toEqual([]);
  await at.query("update mkv_keys set due = now() - interval '1 second'");
  expect(await due()).toEqual(["/key"]);
  expect(at.other.owing).toBe(1);
});

test.concurrent("a claim is renewed for as long as it is open, and says until when it holds", async () => {
  await using at = await twoMasters();
  await using claim = await at.one.claim(keyOf("/key"), () => owing("a:1"), { expect: "nothing", sends: "streams" });
  const before = claim.untilMs;
  expect(before - nowMs()).toBeLessThanOrEqual(databaseLimits.leaseMs);
  await until(() => claim.untilMs > before + 1000, { what: "the claim is renewed" });
  const [row] = await at.query("select extract(epoch from due - now())::float8 as seconds from mkv_keys");
  expect(Number(row!["seconds"])).toBeGreaterThan((databaseLimits.leaseMs + databaseLimits.leaseGraceMs) / 1000); // A body may be on its way.
});

test.concurrent(
  "a connection that hangs holds up no request, and what it still had in hand changes nothing later",
  async () => {
    await using at = await twoMasters();
    const key = keyOf("/key");
    await Promise.all(Array.from({ length: 20 }, (_, i) => at.one.get(keyOf(`/${i}`)))); // All connections are open.
    const claim = await at.one.claim(key, () => owing("a:1"), { expect: "nothing" });
    await claim.put(owing("b:1"));
    using frozen = new DisposableStack();
    for (const pid of await at.backends()) frozen.use(server.freeze(pid));
    const [code, ms] = await timed(() => claim.end(holding("b:1")));
    expect([code, ms < databaseLimits.patienceMs + 500]).toEqual(["done", true]);
    await at.thread.claim(key, () => holding("c:1")).then((next) => next[Symbol.asyncDispose]());
    frozen.dispose();
    await until(async () => (await at.query("select 1 from pg_stat_activity where state = 'active'")).length === 1, {
      what: "what was frozen has ended",
    });
    expect((await at.other.get(key))?.volumes).toEqual(["c:1"]);
  },
);

test.concurrent("a connection that the server ends is replaced, and no request notices", async () => {
  await using at = await twoMasters();
  let failures = 0;
  const work = async (n: number) => {
    for (let i = 0; i < 30; i++) {
      const claim = await at.one.claim(keyOf(`/${n}-${i}`), () => owing("a:1"), { expect: "nothing" });
      await claim.end(holding("a:1"));
    }
  };
  const all = Promise.all(Array.from({ length: 8 }, (_, n) => work(n).catch(() => failures++)));
  for (let i = 0; i < 5; i++) {
    await at.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${at.name}' and pid <> pg_backend_pid()`,
    );
    await Bun.sleep(30);
  }
  await all;
  expect(failures).toBe(0);
  expect((await Array.fromAsync(at.other.scan({}))).flat().length).toBe(240);
});

test.concurrent("masters that start at once make one store; tables of a later mkv are left alone", async () => {
  const url = await newUrl();
  const opened = await Promise.all(Array.from({ length: 5 }, () => open(url)));
  await Promise.all(opened.map((one) => one.ledger[Symbol.asyncDispose]()));
  await server.queryIn(url.split("/").at(-1)!, "update mkv_schema set version = 99");
  const refusal = await open(url).catch(({ message }) => message);
  expect(refusal).toMatch(/has tables of version 99, this mkv knows 1: use the mkv that made them/);
});

test.concurrent("the host that takes writes is found among others; a standby is not asked", async () => {
  const url = await newUrl();
  const hosts = url.replace("@", "@127.0.0.1:1,");
  await (await open(hosts)).ledger[Symbol.asyncDispose]();
  const name = url.split("/").at(-1)!;
  await server.query(`alter database ${name} set default_transaction_read_only = on`);
  const [refusal, ms] = await timed(() => open(hosts).catch(({ message }) => Promise.reject(new Error(message))));
  expect(refusal).toMatch(/^the database postgres:\/\/127\.0\.0\.1:1,127\.0\.0\.1:\d+\/store_\d+ cannot be asked: /);
  expect(refusal).toContain("a standby, or default_transaction_read_only is on");
  expect(ms).toBeLessThan(databaseLimits.patienceMs + 500);
});

test("while the server is frozen a request is refused in its time, and soon after it is served again", async () => {
  await using at = await twoMasters();
  const claim = await at.one.claim(keyOf("/begun"), () => owing("a:1"), { expect: "nothing" });
  using frozen = new DisposableStack();
  for (const pid of await at.backends()) frozen.use(server.freeze(pid));
  frozen.use(server.freeze());
  const told = await Promise.all([
    timed(async () => at.one.get(keyOf("/key"))),
    timed(() => at.one.claim(keyOf("/key"), () => owing("a:1"))),
    timed(() => Array.fromAsync(at.one.scan({}))),
    timed(async () => expect(claim.end(holding("a:1"))).rejects.toThrow("this may be done all the same")),
  ]);
  expect(told.pop()![0]).toBe("done");
  for (const [code, ms] of told) expect([code, ms < databaseLimits.patienceMs + 500]).toEqual(["away", true]);
  const [code, ms] = await timed(async () => at.one.get(keyOf("/key")));
  expect([code, ms < databaseLimits.awayMs + 500]).toEqual(["away", true]); // It is known to be away by now.
  frozen.dispose();
  await until(async () => (await codeOf(Promise.resolve(at.one.get(keyOf("/key"))))) === "done", {
    what: "it is asked again",
  });
});

test("a server that is restarted, well or by force, is missed for a moment and no longer", async () => {
  await using at = await twoMasters();
  for (const signal of ["SIGINT", "SIGQUIT"] as const) {
    let isOver = false;
    let acknowledged = 0;
    const codes = new Set<string>();
    const work = async (n: number) => {
      for (let i = 0; !isOver; i++) {
        const key = keyOf(`/${signal}-${n}-${i}`);
        const code = await codeOf(
          at.one.claim(key, () => owing("a:1"), { expect: "nothing" }).then((claim) => claim.end(holding("a:1"))),
        );
        if (code === "done") acknowledged++;
        codes.add(code);
      }
    };
    const all = Promise.all(Array.from({ length: 4 }, (_, n) => work(n)));
    await until(() => acknowledged > 20, { what: "writes" });
    await server.stop(signal);
    await server.start();
    const before = acknowledged;
    await until(() => acknowledged > before + 20, { what: "writes again", deadlineMs: 10_000 });
    isOver = true;
    await all;
    expect([...codes].filter((code) => code !== "unavailable")).toEqual(["done"]);
    const found = (
      await Array.fromAsync(at.other.scan({ start: keyOf(`/${signal}`), end: keyOf(`/${signal}~`) }))
    ).flat();
    expect(found.length).toBeGreaterThanOrEqual(acknowledged);
  }
});
