// An older copy of the index is put back: what it says is only believed of what it can have known.
import { expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, readFileSync, readdirSync, rmSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { copyFolder } from "../support/folder";
import { startCluster, type Cluster } from "../support/cluster";
import { follow } from "../support/http";
import { pathOf, placedOn } from "../support/placement";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";
import { changeRemembered } from "./remembered";
import { indexOf, runJob, shelf, shelfOf } from "./job";
import { plainKeys } from "./keys";
import { countsOf } from "./verified";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();

/**
 * Copies the index, which nobody has open, as if that were an hour ago, and all values older. What is returned puts that copy
 * back.
 */
async function keepIndex(cluster: Cluster): Promise<() => void> {
  const { db } = cluster;
  const copy = `${db}-copy`;
  copyFolder(db, copy);
  const written = Math.floor(Date.now() / 1000) - 7_200;
  for (const file of cluster.remains()) utimesSync(file, written, written);
  await changeRemembered(db, "run ", (run) => ({ ...(run as object), closedMs: Date.now() - 3_600_000 }));
  return () => {
    rmSync(db, { recursive: true });
    cpSync(copy, db, { recursive: true });
  };
}

async function insist(cluster: Cluster, method: string, key: string): Promise<void> {
  expect([method, key, (await cluster.ask(method, key)).status]).toEqual([method, key, 204]);
}

test.concurrent.each(["at once", "after a master has served it"])(
  "rebuilt %s, it hides no key that was written anew, and has no hash of an earlier value",
  async (when) => {
    await using cluster = await startCluster();
    const deleted = ["/deleted", "/deleted-alike"];
    // What was unlinked, and has the same value now: unlinked before it was written or after? A master may have learnt that.
    const unlinked = ["/unlinked", ...(when === "at once" ? ["/unlinked-alike"] : [])];
    const all = ["/gone", "/kept", "/soft", ...deleted, ...unlinked];
    const values = new Map(all.map((key) => [key, valueOf(["/deleted", "/unlinked"].includes(key) ? "anew" : key)]));
    for (const key of all) await cluster.store(key, valueOf(key));
    for (const key of ["/soft", ...unlinked]) await insist(cluster, "UNLINK", key);
    await cluster.master.stop();
    const putBack = await keepIndex(cluster);
    await cluster.startMaster();
    for (const key of ["/gone", ...deleted]) await insist(cluster, "DELETE", key);
    values.delete("/gone");
    for (const key of [...deleted, ...unlinked]) await cluster.store(key, values.get(key));
    await cluster.store("/new", valueOf("/new"));
    values.set("/new", valueOf("/new"));
    await cluster.master.stop();
    const truth = await indexOf(cluster.db);
    putBack();
    if (when !== "at once") await (await cluster.startMaster()).stop();

    const { exitCode, last, stderr } = await runJob(cluster, "rebuild");
    expect([exitCode, last, stderr]).toEqual([
      0,
      expect.stringContaining(`: ${values.size} keys in ${3 * values.size} files; 0 files`),
      expect.stringContaining('no copy on any volume ("/gone"): not kept: that index is older'),
    ]);
    const unhashed = truth["/new"]!.replace(/^HASH.{32}/, ""); // The old index has never heard of it.
    expect(await indexOf(cluster.db)).toEqual({ ...truth, "/new": unhashed });
    await cluster.startMaster();
    expect(await cluster.keys("unlinked")).toEqual(["/soft"]);
    for (const [key, value] of values) {
      if (key === "/soft") continue;
      const answer = await cluster.ask("GET", key);
      expect([key, answer.status, answer.headers.get("content-md5") ?? md5Hex(value)]).toEqual([
        key,
        302,
        md5Hex(value),
      ]);
      expect((await follow(answer)).body.equals(value)).toBe(true);
    }
  },
);

/** The highest number that these files have as `digits`; where a byte before tells their `length`, it has no more. */
function highest(paths: string[], words: RegExp): number {
  const texts = paths.map((path) => readFileSync(path, "latin1"));
  const numberIn = ({ groups: { digits, length } = {} }: RegExpExecArray) =>
    Number(digits!.slice(0, length?.charCodeAt(0)));
  return Math.max(0, ...texts.flatMap((text) => [...text.matchAll(words)].map(numberIn)));
}

test.concurrent(
  "copied while a master writes, with all that lies beside it, and put back after a kill, it is known as older",
  async () => {
    await using cluster = await startCluster();
    const folder = dirname(cluster.db);
    const memory = join(folder, ".index.mkv");
    const logs = () =>
      readdirSync(memory)
        .filter((name) => name.endsWith(".log"))
        .map((name) => join(memory, name));
    const names = readdirSync(folder).filter((name) => name.startsWith("index"));
    const copyAll = (from: string, to: string) => {
      for (const name of names) copyFolder(join(folder, name + from), join(folder, name + to));
    };
    await cluster.store("/early");
    copyAll("", "-copy");
    await cluster.store("/late");
    const journals = names.filter((name) => name.includes("journal")).map((name) => join(folder, name));
    const isNoted = () =>
      highest(logs(), /reached(?<length>.)(?<digits>\d+)/gs) >= highest(journals, /"n":(?<digits>\d+)/g);
    await until(isNoted, { what: "how far the journals have come is noted" });
    await cluster.master.kill();
    for (const name of names) rmSync(join(folder, name), { recursive: true });
    copyAll("-copy", "");

    await cluster.startMaster();
    expect(cluster.master.output).toContain("may lack what was acknowledged last (it is an older copy)");
    const { status, text } = await cluster.ask("PUT", "/late", { body: "over it" });
    expect([status, text]).toEqual([503, expect.stringContaining("rebuild")]);
    await cluster.master.stop();
    expect((await runJob(cluster, "rebuild")).exitCode).toBe(0);
    await cluster.startMaster();
    expect((await follow(await cluster.ask("GET", "/late"))).text).toBe("value of /late");
  },
);

test.concurrent("rebuilt, it says nothing of a value that was dated while the clock was ahead", async () => {
  await using cluster = await startCluster();
  await cluster.store("/key", "first");
  await insist(cluster, "UNLINK", "/key");
  await cluster.master.stop();
  const putBack = await keepIndex(cluster);
  await cluster.startMaster();
  await insist(cluster, "DELETE", "/key");
  await cluster.store("/key", "second");
  await cluster.master.stop();
  const ahead = Math.floor(Date.now() / 1000) + 30 * 86_400;
  for (const file of cluster.remains()) utimesSync(file, ahead, ahead);
  putBack();
  expect((await runJob(cluster, "rebuild")).exitCode).toBe(0);
  await cluster.startMaster();
  const found = await cluster.ask("GET", "/key");
  expect([found.status, (await follow(found)).text, found.headers.get("content-md5")]).toEqual([
    302,
    "second",
    md5Hex("second"),
  ]);
});

test.concurrent("rebuilt, it does not prefer the copy that it names to what was written later elsewhere", async () => {
  const flags = ["-replicas", "1"];
  await using cluster = await startCluster({ volumes: 2, flags });
  await cluster.store("/key", "old");
  await cluster.master.stop();
  const putBack = await keepIndex(cluster);
  await cluster.startMaster();
  const down = cluster.volumes.find(({ address }) =>
    placedOn("/key", { volumes: cluster.addresses })[0]!.startsWith(address),
  )!;
  await down.kill();
  await insist(cluster, "DELETE", "/key");
  await until(async () => (await cluster.ask("PUT", "/key", { body: "new" })).status === 201, {
    what: "/key is written anew",
  });
  await cluster.master.kill();
  await down.restart();
  putBack();
  const { exitCode, last } = await runJob(cluster, "rebuild", { flags });
  expect([exitCode, last]).toEqual([0, expect.stringContaining(": 1 key in 1 file; 1 file reported")]);
  await cluster.startMaster();
  expect((await follow(await cluster.ask("GET", "/key"))).text).toBe("new");
});

test.concurrent(
  "of before a rebalance: verify -repair finds all moved values where they are, and records them",
  async () => {
    const flags = ["-replicas", "2"];
    await using cluster = await startCluster({ volumes: 4, flags });
    const [then, now] = [cluster.addresses.slice(0, 2), cluster.addresses.slice(2)];
    await cluster.startMaster(flags, then);
    const keys = [...plainKeys("key", 20), "/ünï/é", ...plainKeys("unhashed", 3)];
    for (const key of keys.slice(0, -3)) await cluster.store(key, valueOf(key));
    for (const key of ["/key-3", "/key-4"]) await insist(cluster, "UNLINK", key);
    await cluster.startMaster([...flags, "-md5sum=false"], then);
    for (const key of keys.slice(-3)) await cluster.store(key, valueOf(key));
    await cluster.master.stop();
    const putBack = await keepIndex(cluster);
    const timeOf = (key: string) => cluster.filesOf(pathOf(key))[0]!.mtimeMs;
    const stored = new Map(keys.map((key) => [key, { value: valueOf(key), mtimeMs: timeOf(key) }]));
    expect((await runJob(cluster, "rebalance", { volumes: now, flags })).exitCode).toBe(0);
    const truth = await indexOf(cluster.db);
    putBack();

    const removing = await runJob(cluster, "verify", { volumes: now, flags: [...flags, "-orphans"] });
    expect(removing.exitCode).toBe(1);
    const home = shelfOf(stored, { volumes: now, replicas: 2 });
    expect(shelf(cluster)).toEqual(home);
    const { exitCode, last, stderr } = await runJob(cluster, "verify", { volumes: now, flags: [...flags, "-repair"] });
    expect([exitCode, countsOf(last)]).toMatchObject([0, { keys: stored.size, files: 2 * stored.size }]);
    expect(stderr).toContain("is a copy that its record lacked: it names it now");
    expect(await indexOf(cluster.db)).toEqual(truth);
    expect(shelf(cluster)).toEqual(home);
    const again = await runJob(cluster, "verify", { volumes: now, flags: [...flags, "-md5"] });
    expect(countsOf(again.last)).toEqual(countsOf({ keys: stored.size, files: 2 * stored.size }));
  },
);
