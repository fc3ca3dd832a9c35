// Servers are given other names, or an index that is not theirs: no value is lost by that.
import { expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { placedOn } from "../support/placement";
import { writeRecords } from "../support/records";
import { valueOf } from "../support/values";
import { age } from "./damage";
import { indexOf, named, runJob, shelf, storeAll } from "./job";
import { plainKeys } from "./keys";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const keys = [...plainKeys("key", 6), "/ünï/é"];

/** A store whose files are so old that they could be orphans. */
async function startOld(flags: string[] = []): Promise<Cluster> {
  const cluster = await startCluster({ flags });
  await storeAll(
    cluster,
    keys.map((key) => [key, valueOf(named(key), 100)]),
  );
  await cluster.master.stop();
  for (const file of cluster.remains()) age(file, 48);
  return cluster;
}

/** The same servers under another name. */
const renamed = (cluster: Cluster) => cluster.addresses.map((address) => address.replace("localhost", "127.0.0.1"));

test.concurrent.each(["3", "1"])(
  "servers of other names (%s replicas): a rebalance costs no value, a rebuild takes the names over",
  async (replicas) => {
    const flags = ["-replicas", replicas, "-subvolumes", "1"]; // So that old and new place are one.
    await using cluster = await startOld(flags);
    const volumes = renamed(cluster);
    const before = shelf(cluster);
    await runJob(cluster, "rebalance", { volumes, flags });
    const after = shelf(cluster);
    for (const key of keys) {
      const of = (files: Record<string, string>) =>
        new Set(
          Object.entries(files).flatMap(([file, print]) =>
            file.endsWith(Buffer.from(key as string).toString("base64")) ? [print] : [],
          ),
        );
      expect([named(key), of(after)]).toEqual([named(key), of(before)]);
    }
    const db = `${cluster.db}-new`;
    expect((await runJob(cluster, "rebuild", { db, volumes, flags })).exitCode).toBe(0);
    expect(Object.keys(await indexOf(db)).sort()).toEqual(keys.map(named).sort());
    expect((await runJob(cluster, "rebalance", { db, volumes, flags })).exitCode).toBe(0);
    expect((await runJob(cluster, "verify", { db, volumes, flags: [...flags, "-md5"] })).exitCode).toBe(0);
    expect(Object.keys(shelf(cluster)).length).toBe(keys.length * Number(replicas));
  },
);

test.concurrent("-orphans removes nothing when the volumes have other names than in the index", async () => {
  await using cluster = await startOld();
  const before = shelf(cluster);
  const { exitCode } = await runJob(cluster, "verify", { volumes: renamed(cluster), flags: ["-orphans"] });
  expect([exitCode, shelf(cluster)]).toEqual([1, before]);
});

test.concurrent("-orphans removes nothing when the index is empty", async () => {
  await using cluster = await startOld();
  const before = shelf(cluster);
  const db = `${cluster.db}-empty`;
  await writeRecords(db, []);
  const { exitCode } = await runJob(cluster, "verify", { db, flags: ["-orphans"] });
  expect([exitCode, shelf(cluster)]).toEqual([1, before]);
});

test.concurrent("-repair and -orphans remove no good copy when more replicas are asked for, or fewer", async () => {
  await using cluster = await startOld(["-replicas", "2"]);
  for (const replicas of [3, 1]) {
    const flags = ["-replicas", String(replicas), "-repair", "-orphans", "-md5"];
    const { exitCode } = await runJob(cluster, "verify", { flags });
    const wanted = keys.flatMap((key) => placedOn(key, { volumes: cluster.addresses, replicas }));
    expect([exitCode, Object.keys(shelf(cluster)).length]).toEqual([0, wanted.length]);
    expect((await runJob(cluster, "verify", { flags })).exitCode).toBe(0);
  }
});
