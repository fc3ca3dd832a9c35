// A rebalance is killed in the middle, again and again; or it comes after a master that was killed.
import { expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { filesAt, remainsOn } from "../support/files";
import { startGatedCluster } from "../support/gated";
import { pathOf, placedOn } from "../support/placement";
import { until } from "../support/until";
import { md5Hex, targetOf, valueOf } from "../support/values";
import { indexOf, named, runJob, shelf, shelfOf, startJob, storeAll, type Stored } from "./job";
import { oddKeys, plainKeys } from "./keys";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(150_000);
withoutGrace();
const KILLS = 5;
const keys = [...plainKeys("key", 60), ...oddKeys];
const unlinked = new Set(keys.filter((_, i) => i % 7 === 0));
const deleted = plainKeys("deleted", 10);

/** Numbers from 0 to 1 that are the same in every run. */
function* seeded(seed: number): Generator<number> {
  for (let state = seed; ;) {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    yield state / 2 ** 31;
  }
}

/** Three volumes hold the keys; a fourth and a fifth are there. */
async function startFilled(): Promise<{ cluster: Cluster; stored: Map<string | Uint8Array, Stored> }> {
  const cluster = await startCluster({ volumes: 5 });
  await cluster.startMaster([], cluster.addresses.slice(0, 3));
  for (const key of deleted) await cluster.store(key);
  const stored = await storeAll(
    cluster,
    keys.map((key) => [key, valueOf(named(key), 20_000)]),
  );
  for (const key of unlinked) expect((await cluster.ask("UNLINK", targetOf(key))).status).toBe(204);
  for (const key of deleted) expect((await cluster.ask("DELETE", key)).status).toBe(204);
  await cluster.master.stop();
  return { cluster, stored };
}

/** What a rebalance says of itself, and of the volumes that may still have in hand what the killed ones had sent. */
const waiting = /^(rebalance: |\S+ warn what unfinished work left of )[^\n]*\n/gm;

/** Every key still has whole copies, on three volumes at least, and no other key has any. */
function expectNothingLost(cluster: Cluster, stored: Map<string | Uint8Array, Stored>): void {
  for (const [key, { value }] of stored) {
    const copies = cluster.volumes.flatMap(({ dir }) => filesAt(dir, pathOf(key)));
    expect([named(key), copies.filter(({ md5 }) => md5 === md5Hex(value)).length >= 3]).toEqual([named(key), true]);
  }
  expect(deleted.flatMap((key) => cluster.filesOf(pathOf(key)))).toEqual([]);
}

test.concurrent.each([
  ["five", 1],
  ["three", 2],
] as const)(
  "killed at any moment on the way to %s volumes, and run again, it comes to the same end",
  async (where, seed) => {
    const { cluster, stored } = await startFilled();
    await using _ = cluster;
    const [three, five] = [cluster.addresses.slice(0, 3), cluster.addresses];
    if (where === "three") expect((await runJob(cluster, "rebalance", { volumes: five })).exitCode).toBe(0);
    const volumes = where === "five" ? five : three;
    const newcomers = cluster.volumes.slice(3);
    const moved = () => newcomers.reduce((sum, { dir }) => sum + remainsOn(dir).length, 0);
    const moments = seeded(seed);
    for (let i = 0; i < KILLS; i++) {
      await using job = startJob(cluster, "rebalance", { volumes });
      const [from, steps] = [moved(), 1 + Math.floor(moments.next().value! * 20)];
      await until(() => Math.abs(moved() - from) >= steps || job.ended, { what: `${steps} copies have come or gone` });
      await job.end("SIGKILL");
      expectNothingLost(cluster, stored);
    }
    const { exitCode, last, stderr } = await runJob(cluster, "rebalance", { volumes });
    // It may say where it goes on, waits for what the killed ones had sent, and may say how far it is meanwhile.
    expect([exitCode, stderr.replaceAll(waiting, "")]).toEqual([0, ""]);
    expect(last).toMatch(new RegExp(`^rebalanced ${keys.length} keys: \\d+ moved, \\d+ in place, 0 failed$`));
    await cluster.startMaster([], volumes); // What the killed ones have left may still have waited when the last one ended.
    const isHome = () => Bun.deepEquals(shelf(cluster), shelfOf(stored, { volumes }));
    await until(isHome, { what: "all is where it belongs, and nowhere else" });
    await cluster.master.stop();
    const records = [...stored].map(([key, { value }]) => {
      const head = `${unlinked.has(key) ? "DELETED" : ""}HASH${md5Hex(value)}`;
      return [named(key), head + placedOn(key, { volumes }).join(",")];
    });
    expect(await indexOf(cluster.db)).toEqual(Object.fromEntries(records));
  },
);

test.concurrent(
  "what a killed master has left unfinished is no hindrance to a rebalance, and goes when the next one serves",
  async () => {
    await using cluster = await startGatedCluster();
    const stored = await storeAll(
      cluster,
      plainKeys("whole", 10).map((key) => [key, valueOf(key)]),
    );
    await cluster.ask("UNLINK", "/whole-0");
    const [writing, deleting] = [plainKeys("written", 20), plainKeys("deleted", 6)];
    for (const key of deleting) await cluster.store(key);
    for (const gate of cluster.gates) for (const method of ["PUT", "DELETE"]) gate.hold(method, "answer");
    const body = valueOf("cut", 200_000); // Too long to go out in one piece.
    const answers = [
      ...writing.map((key) => cluster.ask("PUT", key, { body }).catch(() => "none")),
      ...deleting.map((key) => cluster.ask("DELETE", key).catch(() => "none")),
    ];
    for (const gate of cluster.gates) await gate.holds("PUT", writing.length);
    await cluster.master.kill();
    expect(await Promise.all(answers)).toEqual(answers.map(() => "none"));
    cluster.openAll();
    expect(cluster.remains().length).toBeGreaterThanOrEqual(3 * (writing.length + stored.size));
    const { exitCode, stderr } = await runJob(cluster, "rebalance");
    expect([exitCode, stderr.replaceAll(waiting, "")]).toEqual([0, ""]);
    const wanted = shelfOf(stored, { volumes: cluster.addresses });
    expect(shelf(cluster)).toMatchObject(wanted);
    expect(Object.keys(await indexOf(cluster.db)).sort()).toEqual([...stored.keys()].map(named).sort());
    await cluster.startMaster();
    const isCleanedUp = () => Bun.deepEquals(shelf(cluster), wanted);
    await until(isCleanedUp, { what: "what was left is removed", deadlineMs: 20_000 });
    expect(await cluster.keys("unlinked")).toEqual(["/whole-0"]);
  },
);
