// The master is killed after each step of a delete, as src/store/delete.ts numbers them.
import { setDefaultTimeout, test } from "bun:test";
import { homeOf } from "../support/copies";
import {
  expectHidden,
  expectIndex,
  expectRemains,
  expectShown,
  expectUnlinked,
  gateOf,
  killWhile,
  newValue,
  oldValue,
  restartBeforeCleanUp,
  startStore,
  storeSoon,
} from "./crash";

setDefaultTimeout(90_000);

const steps: [what: string, points: ("arrival" | "answer")[]][] = [
  ["1, before a volume hears of it", ["arrival", "arrival", "arrival"]],
  ["2, with the file gone from one volume", ["answer", "arrival", "arrival"]],
  ["2, with the files gone from all volumes", ["answer", "answer", "answer"]],
];

for (const state of ["live", "unlinked"]) {
  test.concurrent.each(steps)(
    `the delete of a key that is ${state}, cut off in step %s, is completed`,
    async (_, points) => {
      await using cluster = await startStore(3);
      const key = "/deleted";
      await cluster.store(key, oldValue(key));
      if (state === "unlinked") await cluster.ask("UNLINK", key);
      const gates = homeOf(cluster, key).map((volume) => gateOf(cluster, volume));
      gates.forEach((gate, i) => gate.hold("DELETE", points[i]!));
      await killWhile(cluster, cluster.ask("DELETE", key), Promise.all(gates.map((gate) => gate.holds("DELETE"))));
      await restartBeforeCleanUp(cluster);
      await expectHidden(cluster, key);
      cluster.openAll();
      await expectUnlinked(cluster);
      await expectRemains(cluster, key, {});
      await storeSoon(cluster, key, newValue(key)); // Nothing of the delete comes after it.
      await cluster.startMaster();
      await expectShown(cluster, key, newValue(key), homeOf(cluster, key));
      await cluster.ask("DELETE", key);
      await expectIndex(cluster);
    },
  );
}

test.concurrent(
  "a delete cut off while a volume is down is completed when the volume is back, and hidden until then",
  async () => {
    await using cluster = await startStore(3);
    const key = "/waits";
    await cluster.store(key, oldValue(key));
    for (const gate of cluster.gates) gate.hold("DELETE", "arrival");
    await killWhile(
      cluster,
      cluster.ask("DELETE", key),
      Promise.all(cluster.gates.map((gate) => gate.holds("DELETE"))),
    );
    cluster.openAll();
    await cluster.volumes[2]!.kill();
    await cluster.startMaster();
    await expectHidden(cluster, key);
    await cluster.volumes[2]!.restart();
    await expectUnlinked(cluster);
    await expectRemains(cluster, key, {});
    await expectHidden(cluster, key);
    await expectIndex(cluster);
  },
);
