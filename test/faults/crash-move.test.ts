// The master is killed after each step of a move, as src/store/move.ts numbers them.
import { expect, setDefaultTimeout, test } from "bun:test";
import { copiesOf, copiesOn, homeOf } from "../support/copies";
import { type GatedCluster } from "../support/gated";
import {
  expectHidden,
  expectIndex,
  expectRemains,
  expectShown,
  expectUnlinked,
  gateOf,
  killWhile,
  liveRecord,
  oldValue,
  restartBeforeCleanUp,
  settled,
  startStore,
  storeAway,
} from "./crash";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(90_000);
withoutGrace();

/** The key is where it belongs, after one more move at the latest, and nothing else is anywhere. */
async function expectHome(cluster: GatedCluster, key: string): Promise<void> {
  await settled(cluster); // Until then a volume might still carry out the copy that was cut off.
  expect((await cluster.ask("POST", `${key}?rebalance`)).status).toBe(204);
  await expectRemains(cluster, key, copiesOn(homeOf(cluster, key), oldValue(key)));
}

const unfinished: [what: string, method: string, point: "arrival" | "body" | "answer", newcomer: number][] = [
  ["1, before a volume hears of it", "PUT", "arrival", 0],
  ["2, with a part of the copy on its way", "PUT", "body", 0],
  ["2, with the copy at its new place", "PUT", "answer", 0],
];

test.concurrent.each(unfinished)(
  "a move cut off in step %s: the value is served from where it was",
  async (_, method, point) => {
    await using cluster = await startStore(5);
    const { key, away } = await storeAway(cluster, "moved");
    const newcomer = gateOf(cluster, homeOf(cluster, key)[0]!);
    newcomer.hold(method, point);
    await killWhile(cluster, cluster.ask("POST", `${key}?rebalance`), newcomer.holds(method));
    await restartBeforeCleanUp(cluster);
    await expectShown(cluster, key, oldValue(key), away);
    cluster.openAll();
    await expectRemains(cluster, key, copiesOn(away, oldValue(key)));
    await expectShown(cluster, key, oldValue(key), away);
    await expectHome(cluster, key);
    await expectShown(cluster, key, oldValue(key), homeOf(cluster, key));
    await expectUnlinked(cluster);
    await expectIndex(cluster, { [key]: liveRecord(oldValue(key), homeOf(cluster, key)) });
  },
);

test.concurrent.each(["arrival", "answer"] as const)(
  "a move cut off after step 3: the value is at its new place, and the old copy is removed (held at its %s)",
  async (point) => {
    await using cluster = await startStore(5);
    const { key, away } = await storeAway(cluster, "moved");
    const stray = gateOf(cluster, away[2]!);
    stray.hold("DELETE", point);
    await killWhile(cluster, cluster.ask("POST", `${key}?rebalance`), stray.holds("DELETE"));
    await restartBeforeCleanUp(cluster);
    const home = homeOf(cluster, key);
    await expectShown(cluster, key, oldValue(key), home);
    // A removal that was held at its arrival may still be carried out when it is let go.
    expect(point === "arrival" ? [3, 4] : [3]).toContain(Object.keys(copiesOf(cluster, key)).length);
    cluster.openAll();
    await expectRemains(cluster, key, copiesOn(home, oldValue(key)));
    await expectShown(cluster, key, oldValue(key), home);
    await expectUnlinked(cluster);
    await expectIndex(cluster, { [key]: liveRecord(oldValue(key), home) });
  },
);

test.concurrent.each(["PUT", "DELETE"])(
  "the move of an unlinked key, cut off at its %s, leaves it unlinked",
  async (method) => {
    await using cluster = await startStore(5);
    const { key, away } = await storeAway(cluster, "soft");
    await cluster.ask("UNLINK", key);
    const gate = gateOf(cluster, method === "PUT" ? homeOf(cluster, key)[0]! : away[2]!);
    gate.hold(method, "answer");
    await killWhile(cluster, cluster.ask("POST", `${key}?rebalance`), gate.holds(method));
    await restartBeforeCleanUp(cluster);
    await expectHidden(cluster, key);
    cluster.openAll();
    const place = method === "PUT" ? away : homeOf(cluster, key);
    await expectRemains(cluster, key, copiesOn(place, oldValue(key)));
    await expectUnlinked(cluster, [key]);
    await expectHome(cluster, key);
    const record = `DELETED${liveRecord(oldValue(key), homeOf(cluster, key))}`;
    await expectIndex(cluster, { [key]: record });
  },
);
