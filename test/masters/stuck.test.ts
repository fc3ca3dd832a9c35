// A database in which somebody else has locked a table: masters keep few connections, tell of it once, and go on.
import { SQL } from "bun";
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { type Cluster, startCluster } from "../support/cluster";
import { runMkv } from "../support/master";
import { type Postgres, startPostgres } from "../support/postgres";
import { until } from "../support/until";

setDefaultTimeout(60_000);
/** Those of a master with two threads. */
const CONNECTIONS = 2 * 4;
let server: Postgres;
let cluster: Cluster;
beforeAll(async () => {
  server = await startPostgres();
  cluster = await startCluster({ db: server.url, flags: ["-v"] });
});
afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

/** Does this while somebody else has locked the table of keys. */
async function whileLocked<T>(mode: "share" | "exclusive" | "access exclusive", work: () => Promise<T>): Promise<T> {
  const locker = new SQL(server.url, { max: 1 });
  try {
    return await locker.begin(async (held) => {
      await held.unsafe(`lock table mkv_keys in ${mode} mode`);
      return await work();
    });
  } finally {
    await locker.close();
  }
}

test("a lock that takes longer than the server's lock_timeout is waited for", async () => {
  await server.query("alter database postgres set lock_timeout = '20ms'");
  for (const pid of await server.backendsOf("postgres")) await server.query("select pg_terminate_backend($1)", [pid]);
  const { stored } = await whileLocked("share", async () => {
    const stored = cluster.ask("PUT", "/waited-for", { body: "value" });
    await Promise.race([stored, Bun.sleep(1_000)]);
    return { stored };
  });
  const { status, text } = await stored;
  expect([status, text]).toEqual([201, ""]);
  await server.query("alter database postgres reset lock_timeout");
});

test("while a table is locked masters take no further connections; the log says once that it was so", async () => {
  const { master } = cluster;
  await whileLocked("access exclusive", async () => {
    for (let i = 0; i < 4; i++) expect((await cluster.ask("GET", "/never")).status).toBe(503);
    const areFew = async () => (await server.backendsOf("postgres")).length <= CONNECTIONS + 1;
    await until(areFew, { what: "the server has ended those that were given up", deadlineMs: 5_000 });
  });
  await cluster.store("/unlocked");
  const isTold = () => / is back, after \d+ s/.test(master.output);
  await until(isTold, { what: "the log says that it is back", deadlineMs: 20_000 });
  expect(master.output.match(/.*cannot be asked.*|.* is back.*/g)).toEqual([
    expect.stringMatching(/ warn the database postgres:.* cannot be asked: /),
    expect.stringMatching(/ info the database postgres:.* is back, after \d+ s$/),
  ]);
});

test("a rebalance through a master tries again what the database had no answer for", async () => {
  const { master } = cluster;
  await cluster.store("/moved");
  const refused = (text: string) => text.match(/"POST [^"]*rebalance" 503/g);
  const { done } = await whileLocked("exclusive", async () => {
    const done = runMkv(["-master", master.url, "rebalance"]); // It reads the keys, and cannot claim one.
    await until(() => refused(master.output), { what: "a key is refused", deadlineMs: 20_000 });
    return { done };
  });
  const { exitCode, stderr } = await done;
  expect([exitCode, stderr]).toEqual([0, expect.not.stringContaining("cannot be asked")]);
});

test("a DELETE or UNLINK that was sent and not answered says that it may be done; a PUT that has not begun does not", async () => {
  await cluster.store("/deleted");
  await cluster.store("/unlinked");
  const [deleted, unlinked, stored] = await whileLocked("exclusive", () =>
    Promise.all([
      cluster.ask("DELETE", "/deleted"),
      cluster.ask("UNLINK", "/unlinked"),
      cluster.ask("PUT", "/not-begun", { body: "value" }),
    ]),
  );
  for (const { status, text } of [deleted, unlinked])
    expect([status, text]).toEqual([503, expect.stringContaining("this may be done all the same")]);
  expect([stored.status, stored.text]).toEqual([503, expect.not.stringContaining("this may be done")]);
});
