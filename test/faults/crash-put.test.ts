// The master is killed after each step of a write, as src/store/put.ts numbers them.
import { expect, setDefaultTimeout, test } from "bun:test";
import { copiesOf, copiesOn, homeOf, keyFirstOn } from "../support/copies";
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
  newValue,
  oldValue,
  restartBeforeCleanUp,
  startStore,
  storeSoon,
  storeAway,
} from "./crash";

setDefaultTimeout(90_000);

type Holds = [what: string, hold: (cluster: GatedCluster, home: string[]) => Promise<unknown>];

/** Holds the PUT before each volume of the key at its point; settles when all are held. */
function holdPuts(cluster: GatedCluster, home: string[], points: ("arrival" | "body" | "answer")[]): Promise<unknown> {
  points.forEach((point, i) => gateOf(cluster, home[i]!).hold("PUT", point));
  return Promise.all(points.map((_, i) => gateOf(cluster, home[i]!).holds("PUT")));
}

const steps: Holds[] = [
  ["1, before a volume hears of it", (c, home) => holdPuts(c, home, ["arrival", "arrival", "arrival"])],
  ["2, with a part of the value on each volume", (c, home) => holdPuts(c, home, ["body", "body", "body"])],
  ["2, with the value on one volume", (c, home) => holdPuts(c, home, ["answer", "body", "arrival"])],
  ["2, with the value on all volumes", (c, home) => holdPuts(c, home, ["answer", "answer", "answer"])],
];

test.concurrent.each(steps)("a write cut off in step %s is never shown, and nothing of it is left", async (_, hold) => {
  await using cluster = await startStore(3);
  const key = "/cut";
  await killWhile(cluster, cluster.ask("PUT", key, { body: newValue(key) }), hold(cluster, homeOf(cluster, key)));
  await restartBeforeCleanUp(cluster);
  await expectHidden(cluster, key);
  cluster.openAll();
  await expectUnlinked(cluster);
  await expectRemains(cluster, key, {});
  await expectHidden(cluster, key);
  await expectIndex(cluster);
});

test.concurrent.each(["arrival", "body", "answer"] as const)(
  "a write cut off in step 2, while the next volume takes the copy of a dead one, leaves nothing on any of them (held at its %s)",
  async (point) => {
    await using cluster = await startStore(5);
    const key = keyFirstOn(cluster, 0, "detour");
    const spare = gateOf(cluster, homeOf(cluster, key, 4)[3]!);
    await cluster.volumes[0]!.kill();
    spare.hold("PUT", point);
    await killWhile(cluster, cluster.ask("PUT", key, { body: newValue(key) }), spare.holds("PUT"));
    await cluster.volumes[0]!.restart();
    await restartBeforeCleanUp(cluster);
    await expectHidden(cluster, key);
    cluster.openAll();
    await expectUnlinked(cluster);
    await expectRemains(cluster, key, {});
    await expectIndex(cluster);
  },
);

test.concurrent.each(["arrival", "answer"] as const)(
  "a write that failed, cut off in step 4, leaves nothing (its removal is held at its %s)",
  async (point) => {
    await using cluster = await startStore(3);
    const key = "/failed";
    cluster.gates[0]!.cut("PUT");
    for (const gate of cluster.gates) gate.hold("DELETE", point);
    const held = Promise.any(cluster.gates.map((gate) => gate.holds("DELETE")));
    await killWhile(cluster, cluster.ask("PUT", key, { body: newValue(key) }), held);
    await restartBeforeCleanUp(cluster);
    await expectHidden(cluster, key);
    cluster.openAll();
    await expectUnlinked(cluster);
    await expectRemains(cluster, key, {});
    await expectIndex(cluster);
  },
);

test.concurrent.each(steps)("a write over an unlinked key cut off in step %s leaves it unlinked", async (_, hold) => {
  await using cluster = await startStore(3);
  const key = "/again";
  await cluster.store(key, oldValue(key));
  await cluster.ask("UNLINK", key);
  await killWhile(cluster, cluster.ask("PUT", key, { body: newValue(key) }), hold(cluster, homeOf(cluster, key)));
  await restartBeforeCleanUp(cluster);
  await expectHidden(cluster, key);
  cluster.openAll();
  await expectUnlinked(cluster, [key]);
  await cluster.startMaster(); // It stays so, however often a master starts.
  await expectHidden(cluster, key);
  await expectUnlinked(cluster, [key]);
  await storeSoon(cluster, key, newValue(key));
  await expectShown(cluster, key, newValue(key), homeOf(cluster, key));
  await expectRemains(cluster, key, copiesOn(homeOf(cluster, key), newValue(key)));
  expect((await cluster.ask("DELETE", key)).status).toBe(204);
  await expectRemains(cluster, key, {});
  await expectIndex(cluster);
});

test.concurrent.each(["arrival", "answer"] as const)(
  "a write cut off after step 3 is live and whole, and the old copy elsewhere is removed (held at its %s)",
  async (point) => {
    await using cluster = await startStore(5);
    const { key, away } = await storeAway(cluster, "moved");
    await cluster.ask("UNLINK", key);
    const stray = gateOf(cluster, away[2]!);
    stray.hold("DELETE", point);
    await killWhile(cluster, cluster.ask("PUT", key, { body: newValue(key) }), stray.holds("DELETE"));
    await restartBeforeCleanUp(cluster);
    const home = homeOf(cluster, key);
    await expectShown(cluster, key, newValue(key), home);
    expect(Object.keys(copiesOf(cluster, key)).length).toBe(point === "arrival" ? 4 : 3);
    cluster.openAll();
    await expectRemains(cluster, key, copiesOn(home, newValue(key)));
    await expectShown(cluster, key, newValue(key), home);
    await expectUnlinked(cluster);
    await expectIndex(cluster, { [key]: liveRecord(newValue(key), home) });
  },
);

test.concurrent("an acknowledged write is live and whole, however soon the master is killed", async () => {
  await using cluster = await startStore(3);
  const key = "/acknowledged";
  await cluster.store(key, newValue(key));
  await cluster.master.kill();
  await cluster.startMaster();
  await expectShown(cluster, key, newValue(key), homeOf(cluster, key));
  await expectIndex(cluster, { [key]: liveRecord(newValue(key), homeOf(cluster, key)) });
});

test.concurrent(
  "what a cut off write has left on a volume that is down is removed when the volume is back",
  async () => {
    await using cluster = await startStore(3);
    const key = "/late";
    const held = holdPuts(cluster, homeOf(cluster, key), ["answer", "answer", "answer"]);
    await killWhile(cluster, cluster.ask("PUT", key, { body: newValue(key) }), held);
    cluster.openAll();
    await cluster.volumes[1]!.kill();
    const started = performance.now();
    await cluster.startMaster();
    expect(performance.now() - started).toBeLessThan(5_000); // Nothing that has to be cleaned up keeps it from starting.
    await expectHidden(cluster, key);
    const last = Object.keys(copiesOf(cluster, key)).filter((name) => name.startsWith(`${cluster.addresses[1]!}/`));
    await expectRemains(cluster, key, copiesOn(last, newValue(key)));
    await expectHidden(cluster, key);
    await cluster.volumes[1]!.restart();
    await expectRemains(cluster, key, {});
    await expectUnlinked(cluster);
    await expectIndex(cluster);
  },
);

test.concurrent("a clean-up that is cut off itself goes on at the next start", async () => {
  await using cluster = await startStore(3);
  const key = "/twice";
  const held = holdPuts(cluster, homeOf(cluster, key), ["answer", "answer", "answer"]);
  await killWhile(cluster, cluster.ask("PUT", key, { body: newValue(key) }), held);
  for (const point of ["arrival", "answer", "arrival"] as const) {
    cluster.openAll();
    for (const gate of cluster.gates) gate.hold("DELETE", point);
    await cluster.startMaster();
    await Promise.all(cluster.gates.map((gate) => gate.holds("DELETE")));
    await expectHidden(cluster, key);
    await cluster.master.kill();
    await Promise.all(cluster.gates.map((gate) => gate.isDeserted()));
  }
  cluster.openAll();
  await cluster.startMaster();
  await expectUnlinked(cluster);
  await expectRemains(cluster, key, {});
  await expectIndex(cluster);
});
