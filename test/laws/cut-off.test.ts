// Law 2: what a loss of power leaves of the copies that a move made is a part of the value, or its length alone. The old ones
// count as long as they are there, and are what the value comes back from.
import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, statSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { fileOf } from "../jobs/damage";
import { indexOf, runJob, startJob } from "../jobs/job";
import { plainKeys } from "../jobs/keys";
import { type Cluster, startCluster } from "../support/cluster";
import { copiesOf, copiesOn, homeOf, keyFirstOn } from "../support/copies";
import { type GatedCluster, startGatedCluster } from "../support/gated";
import { follow } from "../support/http";
import { placedOn } from "../support/placement";
import { until } from "../support/until";

setDefaultTimeout(60_000);

/** What a power cut makes of a file that nobody has synced: zeros of its length, of this length, or nothing. */
function cutOff(file: string, bytes: number): void {
  const { size, atime, mtime } = statSync(file);
  if (bytes === size) writeFileSync(file, new Uint8Array(size));
  else truncateSync(file, bytes);
  utimesSync(file, atime, mtime);
}

/** A value on three volumes of four, with another place now that the fourth is one, and no master. */
async function storedOnThree(cluster: Cluster) {
  const three = cluster.addresses.slice(0, 3);
  await cluster.startMaster([], three);
  const value = "value ".repeat(20_000);
  const moves = (key: string) => homeOf(cluster, key).some((volume) => volume.startsWith(cluster.addresses[3]!));
  const key = plainKeys("moved", 100).find(moves)!;
  await cluster.store(key, value);
  await cluster.master.stop();
  const [before, now] = [placedOn(key, { volumes: three }), homeOf(cluster, key)];
  const fresh = now.filter((volume) => !before.includes(volume));
  return { key, value, before, now, fresh };
}

/** The same, and a move that was killed when it had made its copies. */
async function movedHalf(cluster: GatedCluster) {
  const stored = await storedOnThree(cluster);
  const gate = cluster.gates[3]!;
  gate.hold("PUT", "answer", { times: 1 });
  await using job = startJob(cluster, "rebalance");
  await gate.holds("PUT");
  await job.end("SIGKILL");
  gate.open();
  return stored;
}

/** The same, moved, with the old copies still there; each recorded copy is cut off at so many bytes. */
async function movedAndCut(cluster: Cluster, bytesOf: (i: number) => number) {
  const stored = await storedOnThree(cluster);
  expect((await runJob(cluster, "rebalance", { flags: ["-grace", "2m"] })).exitCode).toBe(0);
  stored.now.forEach((volume, i) => cutOff(fileOf(cluster, stored.key, volume), bytesOf(i)));
  return { ...stored, strays: stored.before.filter((volume) => !stored.now.includes(volume)) };
}

const sorted = (copies: Record<string, string>) => Object.entries(copies).sort();

test.concurrent.each([true, false])(
  "law 2: new copies of an unfinished move, of which only the length is there, do not count in a rebuild (an index: %p)",
  async (isThere) => {
    await using cluster = await startGatedCluster({ volumes: 4 });
    const { key, value, before, fresh } = await movedHalf(cluster);
    for (const volume of fresh) cutOff(fileOf(cluster, key, volume), value.length);
    if (!isThere) rmSync(cluster.db, { recursive: true });
    const { exitCode, last } = await runJob(cluster, "rebuild");
    expect([exitCode, last]).toEqual([0, expect.stringContaining(": 1 key in 3 files; 0 files reported")]);
    const [record = ""] = Object.values(await indexOf(cluster.db));
    expect(
      record
        .replace(/^HASH.{32}/, "")
        .split(",")
        .sort(),
    ).toEqual(before.toSorted());
    await cluster.startMaster();
    const isHome = () => Bun.deepEquals(sorted(copiesOf(cluster, key)), sorted(copiesOn(before, value)));
    await until(isHome, { what: "what the move has left goes", deadlineMs: 20_000 });
  },
);

test.concurrent("new copies of an unfinished move count in a rebuild where nothing else is left", async () => {
  await using cluster = await startGatedCluster({ volumes: 4 });
  const { key, before, fresh } = await movedHalf(cluster);
  for (const volume of before) rmSync(fileOf(cluster, key, volume));
  rmSync(cluster.db, { recursive: true });
  expect((await runJob(cluster, "rebuild")).exitCode).toBe(0);
  expect(await indexOf(cluster.db)).toEqual({ [key]: fresh.join(",") });
});

const cuts: [what: string, bytesOf: (i: number) => number][] = [
  ["all of one length", () => 40_000],
  ["each of another length", (i) => 40_000 + i],
  ["all empty", () => 0],
];

test.concurrent.each(cuts)(
  "law 2: old copies are what a rebuild takes, where all that a move made is cut off (%s)",
  async (_, bytesOf) => {
    await using cluster = await startCluster({ volumes: 4 });
    const { key, value, strays } = await movedAndCut(cluster, bytesOf);
    expect((await runJob(cluster, "rebuild")).exitCode).toBe(0);
    expect(Object.values(await indexOf(cluster.db))).toEqual([
      expect.stringMatching(RegExp(`^HASH.{32}${strays.join(",")}$`)),
    ]);
    await cluster.startMaster();
    expect((await follow(await cluster.ask("GET", key))).text).toBe(value);
  },
);

test.concurrent.each(cuts)(
  "law 2: old copies stay while what a move made is cut off, and the value comes back from them (%s)",
  async (_, bytesOf) => {
    await using cluster = await startCluster({ volumes: 4 });
    const { key, value, now } = await movedAndCut(cluster, bytesOf);
    await cluster.startMaster(["-grace", "0", "-heal", "100"]);
    const isHome = () => Bun.deepEquals(sorted(copiesOf(cluster, key)), sorted(copiesOn(now, value)));
    await until(isHome, { what: "the value is where it belongs, and the old copies go", deadlineMs: 40_000 });
    expect((await follow(await cluster.ask("GET", key))).text).toBe(value);
  },
);

test.concurrent("law 2: with -heal 0 the old copies stay, and verify -repair takes the value from them", async () => {
  await using cluster = await startCluster({ volumes: 4 });
  const { key, value, now, strays } = await movedAndCut(cluster, () => 40_000);
  await cluster.startMaster(["-grace", "0", "-heal", "0"]);
  await until(() => /keeps a copy of a key whose recorded ones are damaged/.test(cluster.master.output), {
    what: "why they stay",
    deadlineMs: 20_000,
  });
  expect(copiesOf(cluster, key)).toMatchObject(copiesOn(strays, value));
  const master = cluster.master.url;
  const { exitCode, output } = await runJob(cluster, "verify", { master, flags: ["-md5", "-repair"] });
  expect([exitCode, output]).toEqual([0, expect.stringMatching(/1 damaged, .* 1 repaired/)]);
  const isHome = () => Bun.deepEquals(sorted(copiesOf(cluster, key)), sorted(copiesOn(now, value)));
  await until(isHome, { what: "the value is where it belongs, and the old copies go", deadlineMs: 20_000 });
});

test.concurrent.each(["rebuild", "server"])(
  "law 2: the last old copy stays while all that a move made has no more than its length (%s)",
  async (how) => {
    await using cluster = await startCluster({ volumes: 2, flags: ["-replicas", "1", "-grace", "0"] });
    const key = keyFirstOn(cluster, 1, "only");
    const value = "value ".repeat(20_000);
    await cluster.startMaster(["-replicas", "1"], cluster.addresses.slice(0, 1));
    await cluster.store(key, value);
    await cluster.master.stop();
    const moved = await runJob(cluster, "rebalance", { flags: ["-replicas", "1", "-grace", "2m"] });
    expect(moved.exitCode).toBe(0);
    const [now] = homeOf(cluster, key, 1);
    cutOff(fileOf(cluster, key, now!), value.length);
    if (how === "rebuild") expect((await runJob(cluster, "rebuild", { flags: ["-replicas", "1"] })).exitCode).toBe(0);
    await cluster.startMaster(["-replicas", "1", "-grace", "0", "-heal", "100"]);
    const isServed = async () => (await follow(await cluster.ask("GET", key))).text === value;
    await until(isServed, { what: "the value is served", deadlineMs: 20_000 });
  },
);

test.concurrent.each(["rebuild", "server"])(
  "law 2: one old copy stays while the two that a move made of it have no more than their length (%s)",
  async (how) => {
    const flags = ["-replicas", "2"];
    await using cluster = await startCluster({ volumes: 3, flags });
    const [first] = cluster.addresses as [string];
    const key = plainKeys("two", 100).find((name) => !homeOf(cluster, name, 2).some((each) => each.startsWith(first)))!;
    const value = "value ".repeat(20_000);
    await cluster.startMaster(["-replicas", "1"], [first]);
    await cluster.store(key, value);
    await cluster.master.stop();
    expect((await runJob(cluster, "rebalance", { flags: [...flags, "-grace", "2m"] })).exitCode).toBe(0);
    for (const volume of homeOf(cluster, key, 2)) cutOff(fileOf(cluster, key, volume), value.length);
    if (how === "rebuild") expect((await runJob(cluster, "rebuild", { flags })).exitCode).toBe(0);
    await cluster.startMaster([...flags, "-grace", "0", "-heal", "100"]);
    const isServed = async () => (await follow(await cluster.ask("GET", key))).text === value;
    await until(isServed, { what: "the value is served", deadlineMs: 40_000 });
  },
);
