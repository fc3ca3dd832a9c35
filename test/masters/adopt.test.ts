// A disk that one master adopts with files of an earlier time on it: the others know that before they read it.
import { $ } from "bun";
import { expect, setDefaultTimeout, test } from "bun:test";
import { startCluster } from "../support/cluster";
import { follow, request } from "../support/http";
import { runMkv } from "../support/master";
import { startPostgres } from "../support/postgres";
import { until } from "../support/until";

setDefaultTimeout(120_000);

test("a disk that another master has adopted with earlier files is read last from the first time on", async () => {
  await using server = await startPostgres();
  const flags = ["-replicas", "2", "-subvolumes", "1"];
  await using cluster = await startCluster({ db: server.url, volumes: 2, flags });
  await using other = await cluster.anotherMaster(flags);
  const volume = cluster.volumes[0]!;
  const keys = Array.from({ length: 10 }, (_, i) => `/key/${i}`);
  for (const key of keys) await cluster.store(key, "old");
  const saved = `${volume.dir}-saved`;
  await using _saved = { [Symbol.asyncDispose]: async () => void (await $`rm -rf ${saved}`) };
  await $`cp -a ${volume.dir} ${saved} && rm -r ${saved}/mkv`;
  for (const key of keys) expect((await cluster.ask("PUT", `${key}?replace`, { body: "new" })).status).toBe(201);
  await volume.stop();
  await $`rm -r ${volume.dir} && cp -a ${saved} ${volume.dir}`;
  await volume.start();
  const isForeign = () => [cluster.master, other].every(({ output }) => output.includes("is not the disk it was"));
  await until(isForeign, { what: "both masters see that it is another one" });
  // A master that is busy with the notes on the volumes: the others tell of what was put back when they have had their turn.
  await server.query(`insert into mkv_keys (key, version, held, due)
    values ('notes of volumes', gen_random_uuid(), true, now() + interval '1 hour')
    on conflict (key) do update set version = excluded.version, held = true, due = excluded.due`);
  const adopted = await runMkv(["-master", `http://localhost:${cluster.master.port}`, "adopt", volume.address]);
  expect([adopted.exitCode, adopted.stderr]).toEqual([0, ""]);
  await cluster.volumes[1]!.restart(); // Whoever sees that looks again who all are.
  const isUsed = () => other.output.includes("it is the disk it was again");
  await until(isUsed, { what: "the other uses it again", deadlineMs: 90_000 });
  for (const target of keys) {
    const answer = await request(other.port, { method: "GET", target });
    expect((await follow(answer)).text).toBe("new");
  }
});
