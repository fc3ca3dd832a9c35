// The index is lost, its journal is not: what that knows of files that are no values, or on their way, holds in a rebuild.
import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { startCluster, type Cluster } from "../support/cluster";
import { copiesOf, homeOf, indexOf as volumeIndexOf } from "../support/copies";
import { startGatedCluster } from "../support/gated";
import { until } from "../support/until";
import { valueOf } from "../support/values";
import { indexOf, runJob, shelf, shelfOf, storeAll } from "./job";
import { age, fileOf } from "./damage";
import { plainKeys } from "./keys";
import { changeRemembered } from "./remembered";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();

/** Rebuilds without an index; the lines that name files, by their volumes. */
async function rebuildWithout(cluster: Cluster) {
  rmSync(cluster.db, { recursive: true });
  const { exitCode, stdout, stderr } = await runJob(cluster, "rebuild");
  expect([exitCode, stdout]).toEqual([0, expect.stringContaining("rebuilt")]);
  return stderr
    .split("\n")
    .filter((line) => line.includes("left by an unfinished write, not indexed"))
    .map((line) => line.split("/", 2).join("/"))
    .sort();
}

test.concurrent("what a write that was cut off has left does not come to life", async () => {
  await using cluster = await startGatedCluster();
  await cluster.store("/whole");
  for (const gate of cluster.gates) gate.hold("PUT", "answer");
  const cutOff = cluster.ask("PUT", "/cut", { body: valueOf("/cut", 200_000) }).catch(() => "no answer");
  for (const gate of cluster.gates) await gate.holds("PUT");
  await cluster.master.kill();
  expect(await cutOff).toBe("no answer");
  cluster.openAll();
  expect(Object.keys(copiesOf(cluster, "/cut")).length).toBe(3);
  expect(await rebuildWithout(cluster)).toEqual(homeOf(cluster, "/cut").sort());
  expect(Object.keys(await indexOf(cluster.db))).toEqual(["/whole"]);
  await cluster.startMaster();
  await until(() => cluster.remains().length === 3, { what: "what was left is removed", deadlineMs: 20_000 });
});

test.concurrent("a value that was deleted while one of its volumes was down does not come to life", async () => {
  await using cluster = await startCluster();
  for (const key of ["/kept", "/gone"]) await cluster.store(key);
  const [owing] = homeOf(cluster, "/gone") as [string];
  const volume = cluster.volumes[volumeIndexOf(cluster, owing)]!;
  await volume.kill();
  expect((await cluster.ask("DELETE", "/gone")).status).toBe(204);
  await cluster.master.kill();
  await volume.restart();
  expect(Object.keys(copiesOf(cluster, "/gone"))).toEqual([owing]);
  expect(await rebuildWithout(cluster)).toEqual([owing]);
  expect(Object.keys(await indexOf(cluster.db))).toEqual(["/kept"]);
  await cluster.startMaster();
  const isGone = () => Object.keys(copiesOf(cluster, "/gone")).length === 0;
  await until(isGone, { what: "what was left is removed", deadlineMs: 20_000 });
});

test.concurrent("old copies that a move leaves for a while are not indexed, and still go", async () => {
  await using cluster = await startCluster({ volumes: 4 });
  await cluster.startMaster([], cluster.addresses.slice(0, 3));
  const stored = await storeAll(
    cluster,
    plainKeys("key", 20).map((key) => [key, valueOf(key)]),
  );
  await cluster.master.stop();
  expect((await runJob(cluster, "rebalance", { flags: ["-grace", "2m"] })).exitCode).toBe(0);
  const home = shelfOf(stored, { volumes: cluster.addresses });
  expect(Object.keys(shelf(cluster)).length).toBeGreaterThan(Object.keys(home).length);
  expect(await rebuildWithout(cluster)).toEqual([]);
  const records = [...stored.keys()].map((key) => [key, homeOf(cluster, String(key)).join(",")]);
  expect(await indexOf(cluster.db)).toEqual(Object.fromEntries(records));
  await cluster.startMaster();
  const isHome = () => Bun.deepEquals(shelf(cluster), home);
  await until(isHome, { what: "old copies are removed", deadlineMs: 20_000 });
});

/** What the machine of the master has been through, as its next process sees it. */
async function cutPower(cluster: Cluster): Promise<void> {
  await cluster.master.kill();
  await changeRemembered(cluster.db, "index", (entry) => ({ ...(entry as object), boot: "an earlier one" }));
}

test.concurrent.each([
  ["does not come to life, where a rebuild follows at once", { starts: 0, hours: 1, keys: ["/kept"] }],
  ["does not come to life, where a master served in between", { starts: 1, hours: 1, keys: ["/kept"] }],
  ["may be one whose record is lost, if it is as young", { starts: 1, hours: 0, keys: ["/gone", "/kept"] }],
])(
  "after a power cut of the master what a delete left on a volume that was down %s",
  async (_, { starts, hours, keys }) => {
    await using cluster = await startCluster();
    for (const key of ["/kept", "/gone"]) await cluster.store(key);
    const [owing] = homeOf(cluster, "/gone") as [string];
    const volume = cluster.volumes[volumeIndexOf(cluster, owing)]!;
    age(fileOf(cluster, "/gone", owing), hours);
    await volume.kill();
    expect((await cluster.ask("DELETE", "/gone")).status).toBe(204);
    await cutPower(cluster);
    for (let i = 0; i < starts; i++) {
      await cluster.startMaster();
      expect(cluster.master.output).toContain("the machine was restarted under it");
      await cluster.master.stop();
    }
    await volume.restart();
    for (let rebuilds = 0; rebuilds < 2; rebuilds++) {
      expect((await runJob(cluster, "rebuild")).exitCode).toBe(0);
      expect(Object.keys(await indexOf(cluster.db))).toEqual(keys);
    }
    expect(Object.keys(copiesOf(cluster, "/gone"))).toEqual([owing]); // Nothing is removed on the word of such a journal.
  },
);

test.concurrent(
  "after a power cut of the master what a write had left on a volume, before its key was deleted, does not come to life",
  async () => {
    await using cluster = await startGatedCluster({ volumes: 4, flags: ["-stalltimeout", "1s", "-threads", "1"] });
    await cluster.store("/kept");
    const [hung] = homeOf(cluster, "/gone") as [string];
    const at = volumeIndexOf(cluster, hung);
    const [volume, gate] = [cluster.volumes[at]!, cluster.gates[at]!];
    gate.hold("PUT", "answer");
    gate.hold("DELETE", "arrival");
    await cluster.store("/gone"); // On another volume in its place.
    await volume.kill();
    gate.open();
    age(fileOf(cluster, "/gone", hung), 1);
    expect((await cluster.ask("DELETE", "/gone")).status).toBe(204);
    await cutPower(cluster);
    await volume.restart();
    expect(Object.keys(copiesOf(cluster, "/gone"))).toEqual([hung]);
    expect((await runJob(cluster, "rebuild")).exitCode).toBe(0);
    expect(Object.keys(await indexOf(cluster.db))).toEqual(["/kept"]);
  },
);
