// The index is rebuilt after a crash, before any master has cleaned up.
import { expect, setDefaultTimeout, test } from "bun:test";
import { copiesOn, homeOf } from "../support/copies";
import { type GatedCluster } from "../support/gated";
import { runMkv } from "../support/master";
import { until } from "../support/until";
import {
  expectHidden,
  expectRemains,
  expectShown,
  gateOf,
  killWhile,
  newValue,
  oldValue,
  startStore,
  storeAway,
} from "./crash";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(90_000);
withoutGrace();

async function rebuildAndStart(cluster: GatedCluster, flags: string[] = []): Promise<void> {
  cluster.openAll();
  const args = ["-db", cluster.db, "-volumes", cluster.addresses.join(","), ...flags, "rebuild"];
  const { exitCode, stderr } = await runMkv(args);
  expect([exitCode, stderr.includes("a bug")]).toEqual([0, false]);
  await cluster.startMaster();
}

test.concurrent("a write that was cut off is not brought to life by a rebuild", async () => {
  await using cluster = await startStore(3);
  const key = "/cut";
  for (const gate of cluster.gates) gate.hold("PUT", "answer");
  const held = Promise.all(cluster.gates.map((gate) => gate.holds("PUT")));
  await killWhile(cluster, cluster.ask("PUT", key, { body: newValue(key) }), held);
  await rebuildAndStart(cluster);
  await expectHidden(cluster, key);
  await expectRemains(cluster, key, {});
  await expectHidden(cluster, key);
});

test.concurrent("a write that was cut off after its commit, and shown, is still there after a rebuild", async () => {
  await using cluster = await startStore(5);
  const { key, away } = await storeAway(cluster, "shown");
  await cluster.ask("UNLINK", key);
  const stray = gateOf(cluster, away[2]!);
  stray.hold("DELETE", "arrival");
  const held = stray.holds("DELETE").then(() => expectShown(cluster, key, newValue(key), homeOf(cluster, key)));
  await killWhile(cluster, cluster.ask("PUT", key, { body: newValue(key) }), held);
  await rebuildAndStart(cluster);
  await expectRemains(cluster, key, copiesOn(homeOf(cluster, key), newValue(key)));
  await expectShown(cluster, key, newValue(key), homeOf(cluster, key));
});

test.concurrent.each([
  ["copy", 0, "PUT", "body"],
  ["copy, whole", 0, "PUT", "answer"],
  ["removal", 1, "DELETE", "arrival"],
] as const)(
  "a key whose move was cut off at its %s is still there after a rebuild",
  async (_, place, method, point) => {
    // One replica: everything that the key has is on the move.
    await using cluster = await startStore(3, ["-replicas", "1"]);
    const { key } = await storeAway(cluster, "moving", 1);
    const gate = gateOf(cluster, homeOf(cluster, key)[place]!);
    gate.hold(method, point);
    await killWhile(cluster, cluster.ask("POST", `${key}?rebalance`), gate.holds(method));
    await rebuildAndStart(cluster, ["-replicas", "1"]);
    expect(await cluster.keys("list")).toEqual([key]);
    const moved = async () => (await cluster.ask("POST", `${key}?rebalance`)).status === 204;
    await until(moved, { what: "the key is brought home", deadlineMs: 20_000 });
    await expectShown(cluster, key, oldValue(key), homeOf(cluster, key, 1));
  },
);
