// A database that is away, refuses, or was never there: a clear answer in its time, nothing done on a guess.
import { SQL } from "bun";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { startPgbouncer } from "../support/pgbouncer";
import { freePort } from "../support/ports";
import { runMkv } from "../support/master";
import { startPostgres, type Postgres } from "../support/postgres";
import { until } from "../support/until";

setDefaultTimeout(60_000);
let server: Postgres;
let cluster: Cluster;
beforeAll(async () => {
  server = await startPostgres();
  cluster = await startCluster({ db: server.url });
});
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

/** The status of an answer, whether it says when to ask again, and whether it came in the time that it may take. */
async function told(method: string, key: string): Promise<[status: number, retries: boolean, inTime: boolean]> {
  const start = performance.now();
  const { status, headers } = await cluster.ask(method, key, method === "PUT" ? { body: "value" } : {});
  return [status, Number(headers.get("retry-after")) > 0, performance.now() - start < 6_000];
}

const frozen = async (): Promise<() => Promise<void>> => {
  const all = server.freezeAll();
  return async () => all[Symbol.dispose]();
};
const down = async (): Promise<() => Promise<void>> => {
  await server.stop("SIGQUIT");
  return () => server.start();
};

test.each([
  ["frozen", frozen],
  ["down", down],
])("while the database is %s nothing is found or written, and soon after it is as before", async (what, begin) => {
  await cluster.store(`/before-${what}`);
  const end = await begin();
  try {
    const all = await Promise.all([
      told("GET", `/before-${what}`),
      told("GET", "/never"),
      told("PUT", `/new-${what}`),
      told("DELETE", `/before-${what}`),
      told("POST", `/before-${what}?rebalance`),
      told("GET", "/?list"),
    ]);
    for (const one of all) expect(one).toEqual([503, true, true]);
  } finally {
    await end();
  }
  const serves = async () => (await cluster.ask("GET", `/before-${what}`)).status === 302;
  await until(serves, { what: "it serves again", deadlineMs: 5_000 });
  await cluster.store(`/after-${what}`);
  expect(cluster.master.process.ended).toBe(false);
  expect(cluster.master.output).not.toMatch(/in the background: the database|Warning/);
  const keys = await cluster.keys("list");
  expect(keys).toContain(`/before-${what}`);
  expect(keys).not.toContain(`/new-${what}`);
});

test("volumes that come back before the database are written to as soon as that is back, too", async () => {
  const { master, volumes, addresses } = cluster;
  const said = (what: string) =>
    until(() => addresses.every((name) => master.output.includes(`${name} is ${what}`)), { what, deadlineMs: 15_000 });
  const end = await frozen();
  try {
    await Promise.all(volumes.map((volume) => volume.kill()));
    await said("down");
    await Promise.all(volumes.map((volume) => volume.restart()));
    await said("back");
    // What asks who has come back has given up by then: it began before.
    for (let i = 0; i < 2; i++) expect((await cluster.ask("GET", "/never")).status).toBe(503);
  } finally {
    await end();
  }
  const writes = async () => (await cluster.ask("PUT", "/soon", { body: "value" })).status === 201;
  await until(writes, { what: "it is written", deadlineMs: 8_000 });
});

test.concurrent(
  "a password that is wrong, a server that is not there, and no URL at all are told in a line",
  async () => {
    const url = await server.addUser("locked", "right");
    const volumes = ["-volumes", cluster.addresses.join(","), "server", "-port", "0"];
    const login = (password: string) => url.replace("locked@", `locked:${password}@`);
    const dead = `postgres://mkv@127.0.0.1:${await freePort()}/mkv`;
    const runs: [db: string, exitCode: number, says: RegExp][] = [
      [login("secret-1"), 1, /^mkv: the database postgres:\/\/127\.0\.0\.1:\d+\/postgres .*password/m],
      [dead, 1, /^mkv: the database postgres:\/\/127\.0\.0\.1:\d+\/mkv cannot be asked/m],
      ["postgres://mkv:secret-2@/", 2, /^mkv: -db is a folder, or a URL such as/],
      ["postgres:/mkv:secret-2@host/mkv", 2, /^mkv: -db is a folder, or a URL such as/],
      ["mysql://mkv:secret-2@host/mkv", 2, /^mkv: -db is a folder, or a URL such as/],
    ];
    await Promise.all(
      runs.map(async ([db, exitCode, says]) => {
        const outcome = await runMkv(["-db", db, ...volumes], { timeoutMs: 20_000 });
        expect([db, outcome.exitCode, outcome.stderr]).toEqual([db, exitCode, expect.stringMatching(says)]);
        expect(outcome.stdout + outcome.stderr).not.toContain("secret");
      }),
    );
  },
);

test.concurrent(
  "a pooler that lends one session to several connections is refused in a line; one that lends it whole serves",
  async () => {
    await server.query("create database pooled");
    const pooled = async (mode: "session" | "transaction") =>
      await startPgbouncer(server, { mode, database: "pooled" });
    await using shared = await pooled("transaction");
    const volumes = ["-volumes", cluster.addresses.join(",")];
    for (const words of [["server", "-port", "0"], ["rebuild"]]) {
      const refused = await runMkv(["-db", shared.url, ...volumes, ...words], { timeoutMs: 20_000 });
      const line =
        /^mkv: the database postgres:.* shares sessions .* set pool_mode = session, or take pgbouncer 1\.21/m;
      expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringMatching(line)]);
    }
    await using whole = await pooled("session");
    const rebuilt = await runMkv(["-db", whole.url, ...volumes, "rebuild"]);
    expect([rebuilt.exitCode, rebuilt.stdout]).toEqual([0, expect.stringMatching(/^rebuilt postgres:/)]);
  },
);

test("a database that need not keep what it acknowledges is told of at the start", async () => {
  await server.query("alter role mkv set synchronous_commit = off");
  await using master = await cluster.anotherMaster();
  for (const setting of ["fsync", "synchronous_commit"])
    expect(master.output).toContain(`the database may lack what it acknowledged last: ${setting} is off`);
});

test("a start does not wait until all orphans are forgotten that were known before the machine was restarted", async () => {
  const orphan = JSON.stringify({ boot: "another", atMs: 1, bytes: 1, modified: "" });
  await server.query(`insert into mkv_memory values ('orphan a:1/file', '${orphan}')`);
  const known = () => server.query("select 1 from mkv_memory where name = 'orphan a:1/file'");
  await using operator = new SQL(server.url, { max: 1 });
  await operator.unsafe("begin");
  await operator.unsafe("select 1 from mkv_memory where name = 'orphan a:1/file' for update");
  await cluster.startMaster();
  expect(await known()).toHaveLength(1);
  await operator.unsafe("rollback");
  await cluster.startMaster();
  await until(async () => (await known()).length === 0, { what: "it is forgotten" });
});
