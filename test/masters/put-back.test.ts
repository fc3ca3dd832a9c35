// The database is put back as it once was, and nobody says so: the volumes know.
import { chmodSync } from "node:fs";
import { join } from "node:path";
import { expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { copiesOf } from "../support/copies";
import { temporaryFolder } from "../support/folder";
import { dial, follow, head } from "../support/http";
import { runMkv } from "../support/master";
import { startPostgres } from "../support/postgres";
import { until } from "../support/until";

setDefaultTimeout(90_000);
const warning = "the database may lack what was acknowledged last";
const reason = new RegExp(
  `${warning}: it went on from a standby .*, or from a backup, .*"mkv rebuild" finds what is missing`,
);

test.concurrent("a database that was put back is known as older; rebuilt, it has all of it", async () => {
  await using server = await startPostgres();
  await server.query("create database store");
  const db = server.urlOf("store");
  await using cluster = await startCluster({ db });
  await cluster.store("/soft", "once");
  expect((await cluster.ask("UNLINK", "/soft")).status).toBe(204);
  await cluster.master.stop();
  for (const copy of ["copy", "other"]) await server.query(`create database ${copy} template store`);
  const putBack = async (copy: string) => {
    await cluster.master.stop();
    await server.query("drop database store with (force)");
    await server.query(`alter database ${copy} rename to store`);
  };
  const rebuild = async () =>
    expect((await runMkv(["-db", db, "-volumes", cluster.addresses.join(","), "rebuild"])).exitCode).toBe(0);
  const expectAll = async () => {
    await cluster.startMaster();
    expect(cluster.master.output).not.toContain(warning);
    expect((await follow(await cluster.ask("GET", "/new"))).text).toBe("acknowledged");
    expect((await follow(await cluster.ask("GET", "/soft"))).text).toBe("twice");
  };
  await cluster.startMaster();
  expect(cluster.master.output).not.toContain(warning);
  await cluster.store("/soft", "twice");
  await cluster.store("/new", "acknowledged");

  await putBack("other");
  await rebuild(); // At once.
  await expectAll();

  await putBack("copy");
  for (const volume of cluster.volumes) await volume.stop();
  await cluster.startMaster(); // It counts nothing on its own.
  await cluster.master.stop();
  for (const volume of cluster.volumes) await volume.start();
  await cluster.startMaster();
  expect(cluster.master.output).toContain(warning);
  expect((await cluster.ask("PUT", "/new", { body: "over it" })).status).toBe(503);
  await cluster.master.stop();
  await cluster.startMaster();
  expect(cluster.master.output).toContain(warning); // Each start says so.
  expect((await cluster.ask("PUT", "/new", { body: "over it" })).status).toBe(503);
  await cluster.master.stop();
  await rebuild();
  await expectAll();
});

/** Has the masters look at their volumes again and again until this is so: they do when one comes back. */
async function lookUntil(cluster: Cluster, isSo: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const looked = async () => {
    await cluster.volumes[0]!.restart();
    return await isSo();
  };
  await until(looked, { what, deadlineMs: 40_000 });
}

test.concurrent("masters at work on a database that goes back end, all of them; others count on together", async () => {
  await using server = await startPostgres();
  await using cluster = await startCluster({ db: server.url });
  await using other = await cluster.anotherMaster();
  const epoch = async () => {
    const [row] = await server.query("select value from mkv_memory where name = 'epoch'");
    return JSON.parse(row!["value"] as string) as { store: string; count: number };
  };
  const before = await epoch();
  await cluster.store("/kept");
  await lookUntil(cluster, async () => (await epoch()).count >= before.count + 2, "both have counted on");
  expect([cluster.master.process.ended, other.process.ended]).toEqual([false, false]);
  // As it was while /kept was being written, by a master that has died: whose files these are it does not know.
  const owed = Object.keys(copiesOf(cluster, "/kept")).map((volume) => `in-flight 0 0 ${volume}`);
  await server.query(`with back as (update mkv_memory set value = '${JSON.stringify(before)}' where name = 'epoch')
    update mkv_keys set record = null, owed = '{${owed.join(",")}}', due = now() - interval '1 day'`);
  await lookUntil(cluster, () => cluster.master.process.ended && other.process.ended, "both end");
  expect([await cluster.master.process.exited, await other.process.exited]).toEqual([1, 1]);
  for (const { output } of [cluster.master, other]) expect(output).toMatch(reason);
  await cluster.startMaster();
  expect(Object.keys(copiesOf(cluster, "/kept")).length).toBe(3);
});

test.concurrent(
  "what a standby lacks that took the place of its primary is found by a rebuild, and nobody removes it before",
  async () => {
    await using folder = temporaryFolder();
    chmodSync(folder.path, 0o777);
    await using server = await startPostgres();
    await using cluster = await startCluster({ db: server.url });
    await using other = await cluster.anotherMaster();
    using wire = await dial(other.port);
    wire.write(head({ method: "PUT", target: "/begun", headers: { "Content-Length": "10" } }, { close: false }));
    wire.write("value");
    await until(async () => (await server.query("select 1 from mkv_keys where held")).length, { what: "it has begun" });
    await server.copyTo(join(folder.path, "standby"));
    wire.write("value");
    expect((await wire.answer()).status).toBe(201);
    await cluster.store("/later");

    await server.stop("SIGQUIT");
    await using standby = await startPostgres({ data: join(folder.path, "standby"), port: server.port });
    await standby.query("select pg_promote()");
    await standby.query("update mkv_keys set due = now() where held"); // As when it takes longer than a claim holds.
    await until(() => cluster.master.process.ended && other.process.ended, { what: "both end", deadlineMs: 30_000 });
    expect([await cluster.master.process.exited, await other.process.exited]).toEqual([1, 1]);
    for (const { output } of [cluster.master, other]) expect(output).toMatch(reason);
    await standby.query("delete from mkv_processes"); // As 20 s later.
    const rebuilt = await runMkv(["-db", server.url, "-volumes", cluster.addresses.join(","), "rebuild"]);
    expect([rebuilt.exitCode, rebuilt.stdout]).toEqual([0, expect.stringMatching(/: 2 keys in 6 files/)]);
    await cluster.startMaster();
    expect((await follow(await cluster.ask("GET", "/begun"))).text).toBe("valuevalue");
    expect((await follow(await cluster.ask("GET", "/later"))).text).toBe("value of /later");
  },
);

test.concurrent(
  "what was deleted over an older database while a volume was down is not back after a rebuild",
  async () => {
    await using server = await startPostgres();
    await using cluster = await startCluster({ db: server.url });
    await cluster.store("/gone");
    await cluster.store("/kept");
    await cluster.master.stop();
    await server.query("insert into mkv_memory values ('behind', 'true')");
    await cluster.startMaster();
    expect(cluster.master.output).toContain(warning);
    await cluster.volumes[0]!.stop();
    expect((await cluster.ask("DELETE", "/gone")).status).toBe(204);
    await cluster.master.stop();
    await cluster.volumes[0]!.start();
    expect(Object.keys(copiesOf(cluster, "/gone"))).toHaveLength(1);
    const rebuilt = await runMkv(["-db", server.url, "-volumes", cluster.addresses.join(","), "rebuild"]);
    expect([rebuilt.exitCode, rebuilt.stdout]).toEqual([
      0,
      expect.stringMatching(/: 1 key in 3 files; 1 file reported/),
    ]);
    await cluster.startMaster();
    expect(cluster.master.output).not.toContain(warning);
    expect(await cluster.keys("list")).toEqual(["/kept"]);
  },
);
