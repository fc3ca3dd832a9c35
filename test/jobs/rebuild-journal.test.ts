// The index is lost, its journal is not: what that knows of files that are no values, or on their way, holds in a rebuild.
import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
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
  "after a power cut of the master what a delete left on a volume that was down %s; what is stored there since counts",
  async (_, { starts, hours, keys }) => {
    await using cluster = await startCluster();
    for (const key of ["/kept", "/gone"]) await cluster.store(key);
    const [owing] = homeOf(cluster, "/gone") as [string];
    const volume = cluster.volumes[volumeIndexOf(cluster, owing)]!;
    const file = fileOf(cluster, "/gone", owing);
    age(file, hours);
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
    const knownMs = Date.now(); // By now what was left is remembered.
    expect(Object.keys(copiesOf(cluster, "/gone"))).toEqual([owing]); // Nothing is removed on the word of such a journal.
    await until(() => Date.now() > knownMs + 1_000, { what: "a later second" });
    writeFileSync(file, "of another program");
    expect((await runJob(cluster, "rebuild")).exitCode).toBe(0);
    expect(Object.keys(await indexOf(cluster.db))).toEqual(["/gone", "/kept"]);
  },
);

test.concurrent(
  "after a power cut of the master what writes had left on volumes that hung does not come to life",
  async () => {
    const flags = ["-stalltimeout", "1s", "-threads", "2"]; // No thread knows what another one owes.
    await using cluster = await startGatedCluster({ volumes: 4, flags });
    const hang = (at: number) => {
      cluster.gates[at]!.hold("PUT", "answer");
      cluster.gates[at]!.hold("DELETE", "arrival");
    };
    const areHome = (key: string) =>
      [0, 1].every((at) => homeOf(cluster, key).some((volume) => volumeIndexOf(cluster, volume) === at));
    const [failed, ...deleted] = plainKeys("key", 100).filter(areHome).slice(0, 9) as [string, ...string[]];
    await cluster.store("/kept");
    hang(0);
    await Promise.all(deleted.map((key) => cluster.store(key))); // On another volume in its place.
    hang(1);
    expect((await cluster.ask("PUT", failed, { body: "x" })).status).toBe(503);
    for (const volume of cluster.volumes.slice(0, 2)) await volume.kill();
    cluster.openAll();
    const answers = await Promise.all(deleted.map((key) => cluster.ask("DELETE", key)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([204]));
    await cutPower(cluster);
    for (const volume of cluster.volumes.slice(0, 2)) await volume.restart();
    const left = [failed, ...deleted].flatMap((key) =>
      Object.keys(copiesOf(cluster, key)).map((volume) => fileOf(cluster, key, volume)),
    );
    expect(left.length).toBeGreaterThan(deleted.length);
    for (const file of left) age(file, 1);
    expect((await runJob(cluster, "rebuild")).exitCode).toBe(0);
    expect(Object.keys(await indexOf(cluster.db))).toEqual(["/kept"]);
  },
);
