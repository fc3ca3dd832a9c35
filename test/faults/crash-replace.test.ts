// The master is killed after each step of a replacement, as src/store/replace.ts numbers them, with readers at work.
import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { copiesOf, copiesOn, homeOf, indexOf } from "../support/copies";
import { type GatedCluster } from "../support/gated";
import { follow } from "../support/http";
import { journalsOf } from "../support/journals";
import { runMkv } from "../support/master";
import { graceFlags } from "../support/grace";
import { pathOf } from "../support/placement";
import { recordOf, writeRecords } from "../support/records";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";
import {
  expectIndex,
  expectRemains,
  expectShown,
  gateOf,
  killWhile,
  liveRecord,
  newValue,
  oldValue,
  restartBeforeCleanUp,
  settled,
  startStore,
  storeAway,
} from "./crash";

setDefaultTimeout(90_000);
type Point = "arrival" | "body" | "answer";

/** A store with a live key, and a replacement of it that is held before each volume at its point. */
async function startReplacement(method: string, points: Point[]): Promise<{ cluster: GatedCluster; key: string }> {
  const cluster = await startStore(3);
  const key = "/replaced";
  await cluster.store(key, oldValue(key));
  const gates = homeOf(cluster, key).map((volume) => gateOf(cluster, volume));
  points.forEach((point, i) => gates[i]!.hold(method, point));
  const held = Promise.all(points.map((_, i) => gates[i]!.holds(method)));
  await killWhile(cluster, cluster.ask("PUT", `${key}?replace`, { body: newValue(key) }), held);
  return { cluster, key };
}

/** Reads without a pause until it is stopped, and tells whose bytes it got: "old", "new", or what else. */
function reader(cluster: GatedCluster, key: string): { stop(): Promise<Set<string>> } {
  const names = { [md5Hex(oldValue(key))]: "old", [md5Hex(newValue(key))]: "new" };
  const seen = new Set<string>();
  let isOver = false;
  const reading = (async () => {
    while (!isOver) {
      const found = await cluster.ask("GET", key);
      if (found.status !== 302) seen.add(`status ${found.status}`);
      else seen.add(names[md5Hex((await follow(found)).body)] ?? "neither");
    }
  })();
  return { stop: async () => ((isOver = true), await reading, seen) };
}

const staged: [what: string, points: Point[]][] = [
  ["1, before a volume hears of it", ["arrival", "arrival", "arrival"]],
  ["2, with a part of the value on each volume", ["body", "body", "body"]],
  ["2, with the value on one volume", ["answer", "body", "arrival"]],
  ["2, with the value on all volumes", ["answer", "answer", "answer"]],
];

test.concurrent.each(staged)(
  "a replacement cut off in step %s leaves the old value, and nothing of the new one",
  async (_, points) => {
    const { cluster, key } = await startReplacement("PUT", points);
    await using _cluster = cluster;
    await restartBeforeCleanUp(cluster);
    const reading = reader(cluster, key);
    const home = homeOf(cluster, key);
    await expectShown(cluster, key, oldValue(key), home);
    cluster.openAll();
    await expectRemains(cluster, key, copiesOn(home, oldValue(key)));
    expect(await reading.stop()).toEqual(new Set(["old"]));
    await expectIndex(cluster, { [key]: liveRecord(oldValue(key), home) });
  },
);

const moving: [what: string, points: Point[]][] = [
  ["3, before a volume hears of it", ["arrival", "arrival", "arrival"]],
  ["4, with the value in its place on one volume", ["answer", "arrival", "arrival"]],
  ["4, with the value in its place on all volumes", ["answer", "answer", "answer"]],
];

test.concurrent.each(moving)(
  "a replacement cut off in step %s goes on: the new value is live, whole, on all volumes",
  async (_, points) => {
    const { cluster, key } = await startReplacement("MOVE", points);
    await using _cluster = cluster;
    cluster.openAll();
    await cluster.startMaster();
    const reading = reader(cluster, key);
    const home = homeOf(cluster, key);
    await expectRemains(cluster, key, copiesOn(home, newValue(key)));
    await settled(cluster);
    await expectShown(cluster, key, newValue(key), home);
    const seen = await reading.stop();
    expect(seen).toContain("new");
    expect([...seen].filter((what) => what !== "old" && what !== "new")).toEqual([]);
    await expectIndex(cluster, { [key]: liveRecord(newValue(key), home) });
  },
);

test.concurrent(
  "a replacement cut off in step 4 is ended by whoever writes to the key first, and a delete leaves nothing",
  async () => {
    const { cluster, key } = await startReplacement("MOVE", ["answer", "arrival", "arrival"]);
    await using _cluster = cluster;
    cluster.openAll();
    await cluster.startMaster();
    const deleted = async () => (await cluster.ask("DELETE", key)).status === 204;
    await until(deleted, { what: "the key is deleted" });
    await expectRemains(cluster, key, {});
    await expectIndex(cluster);
  },
);

test.concurrent(
  "a replacement cut off in step 3 is given up where another program has written the key meanwhile: its value stays",
  async () => {
    const { cluster, key } = await startReplacement("MOVE", ["arrival", "arrival", "arrival"]);
    await using _cluster = cluster;
    const [home, theirs] = [homeOf(cluster, key), valueOf("theirs", 1_000)];
    for (const { file } of cluster.filesOf(pathOf(key))) writeFileSync(file, theirs);
    await writeRecords(cluster.db, [[key, liveRecord(theirs, home)]]);
    cluster.openAll();
    await cluster.startMaster();
    await expectRemains(cluster, key, copiesOn(home, theirs));
    await expectShown(cluster, key, theirs, home);
    await expectIndex(cluster, { [key]: liveRecord(theirs, home) });
  },
);

test.concurrent("a replacement cut off in step 5 is live and whole, and old copies elsewhere are removed", async () => {
  await using cluster = await startStore(5);
  const { key, away } = await storeAway(cluster, "moved");
  const stray = gateOf(cluster, away[2]!);
  stray.hold("DELETE", "arrival");
  const body = newValue(key);
  await killWhile(cluster, cluster.ask("PUT", `${key}?replace`, { body }), stray.holds("DELETE"));
  await restartBeforeCleanUp(cluster);
  const home = homeOf(cluster, key);
  await expectShown(cluster, key, body, home);
  cluster.openAll();
  await expectRemains(cluster, key, copiesOn(home, body));
  await expectIndex(cluster, { [key]: liveRecord(body, home) });
});

test.concurrent(
  "a volume that dies before it has moved its file: not acknowledged, old or new meanwhile, new when it is back",
  async () => {
    await using cluster = await startStore(3);
    const key = "/replaced";
    await cluster.store(key, oldValue(key));
    const home = homeOf(cluster, key);
    const gate = gateOf(cluster, home[1]!);
    gate.hold("MOVE", "arrival");
    const answered = cluster.ask("PUT", `${key}?replace`, { body: newValue(key) });
    await gate.holds("MOVE");
    const volume = cluster.volumes[indexOf(cluster, home[1]!)]!;
    await volume.kill();
    gate.open();
    const { status, text } = await answered;
    expect(status).toBe(503);
    expect(text).toContain("is being replaced");
    const reading = reader(cluster, key);
    expect((await cluster.ask("DELETE", key)).status).toBeOneOf([409, 503]);
    const again = () => cluster.ask("PUT", `${key}?replace`, { body: "another" });
    const whenFree = async () => [await again()].find(({ status }) => status !== 409)?.text;
    const notStored = /^an earlier replacement of the value has not ended, and nothing of this request is done: /;
    expect(await until(whenFree, { what: "nobody is at work on the key" })).toMatch(notStored);
    await volume.restart();
    await expectRemains(cluster, key, copiesOn(home, newValue(key)));
    await settled(cluster);
    await expectShown(cluster, key, newValue(key), home);
    expect([...(await reading.stop())].filter((what) => what !== "old" && what !== "new")).toEqual([]);
    await expectIndex(cluster, { [key]: liveRecord(newValue(key), home) });
  },
);

test.concurrent(
  "a replacement that ends with one volume, which dies then: what the late ones have staged takes its place",
  async () => {
    await using cluster = await startStore(3, ["-minreplicas", "1"]);
    const key = "/replaced";
    await cluster.store(key, oldValue(key));
    const [first, ...late] = homeOf(cluster, key);
    const volumeOf = (volume: string) => cluster.volumes[indexOf(cluster, volume)]!;
    for (const volume of late) gateOf(cluster, volume).hold("MOVE", "arrival");
    const answered = cluster.ask("PUT", `${key}?replace`, { body: newValue(key) });
    for (const volume of late) {
      await gateOf(cluster, volume).holds("MOVE");
      await volumeOf(volume).kill();
    }
    cluster.openAll();
    expect((await answered).status).toBe(201);
    expect((await cluster.ask("GET", key)).headers.get("key-volumes")).toBe(first!);
    await volumeOf(first!).kill();
    for (const volume of late) await volumeOf(volume).restart();
    const isBack = () => late.every((volume) => copiesOf(cluster, key)[volume] === md5Hex(newValue(key)));
    await until(isBack, { what: "the new value is at its place", deadlineMs: 30_000 });
    const isServed = async () => {
      const found = await cluster.ask("GET", key);
      return found.status === 302 && md5Hex((await follow(found)).body) === md5Hex(newValue(key));
    };
    await until(isServed, { what: "the new value is served" });
  },
);

test.concurrent("a committed replacement of which the journal is lost is ended, not taken for an orphan", async () => {
  const { cluster, key } = await startReplacement("MOVE", ["arrival", "arrival", "arrival"]);
  await using _cluster = cluster;
  for (const name of journalsOf(cluster.db)) rmSync(join(dirname(cluster.db), name));
  cluster.openAll();
  await cluster.startMaster();
  const home = homeOf(cluster, key);
  for (const volume of home) {
    const look = async () => (await cluster.ask("POST", `${key}?staged=${volume}&remove`)).text;
    const seen = async () => /"state":"(\w+)"/.exec(await look())?.[1];
    expect(await until(seen, { what: "the key is not busy" })).toBe("accounted");
  }
  expect(copiesOf(cluster, key)).toEqual(copiesOn(home, newValue(key)));
  await expectIndex(cluster, { [key]: liveRecord(newValue(key), home) });
});

test.concurrent(
  "a rebuild in the middle of step 4 takes no staged file for a value, and gives no copy the hash of another",
  async () => {
    const { cluster, key } = await startReplacement("MOVE", ["answer", "answer", "arrival"]);
    await using _cluster = cluster;
    cluster.openAll();
    const flags = ["-db", cluster.db, "-volumes", cluster.addresses.join(","), ...graceFlags([])];
    const rebuilt = await runMkv([...flags, "rebuild"], { timeoutMs: 60_000 });
    expect([rebuilt.exitCode, rebuilt.stderr]).toEqual([0, expect.not.stringContaining("staged")]);
    const home = homeOf(cluster, key);
    const moved = liveRecord(newValue(key), home.slice(0, 2));
    expect(await recordOf(cluster.db, key)).toBe(moved);
    await cluster.startMaster();
    await expectRemains(cluster, key, copiesOn(home, newValue(key)));
    await settled(cluster);
    expect(copiesOf(cluster, key)).toEqual(copiesOn(home, newValue(key)));
    await expectIndex(cluster, { [key]: liveRecord(newValue(key), home) });
  },
);
