// What was written while a volume was away, or has lost a copy, comes home by itself, and nothing else is moved.
import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { startOperated } from "../admin/operated";
import { startCluster } from "../support/cluster";
import { copiesOf, copiesOn, homeOf, indexOf, keyFirstOn } from "../support/copies";
import { follow } from "../support/http";
import { filesAt, remainsOn } from "../support/files";
import { pathOf } from "../support/placement";
import { startPostgres } from "../support/postgres";
import { halfPut } from "../support/under-way";
import { until } from "../support/until";
import { valueOf } from "../support/values";
import { areHome, cameHome, keysOfFirst, storeAll } from "./home";

setDefaultTimeout(120_000);
const healing = ["-heal", "20", "-grace", "0"];

test.concurrent(
  "what was written while a volume was away comes home when it is back, and a lost file when somebody asks for it",
  async () => {
    await using store = await startOperated({ volumes: 4, flags: healing });
    const { cluster } = store;
    await cluster.volumes[0]!.kill();
    const keys = keysOfFirst(cluster, 8);
    await storeAll(cluster, keys);
    const left = async (count: number) =>
      until(async () => (await store.status()).toHeal === count, { what: `${count} keys are to be healed` });
    await left(keys.length);
    expect(keys.filter((key) => areHome(cluster, [key]))).toEqual([]);
    await cluster.volumes[0]!.restart();
    await cameHome(cluster, keys);
    await left(0);
    const said = /heal: \d+ keys? healed, 0 left$/m;
    await until(() => said.test(cluster.master.output), { what: `it says so: ${cluster.master.output}` });
    expect(cluster.master.output.match(/heal: /g)!.length).toBeLessThan(keys.length);

    const [lost] = keys as [string];
    rmSync(filesAt(cluster.volumes[0]!.dir, pathOf(lost))[0]!.file);
    const isBack = async () => {
      expect((await follow(await cluster.ask("GET", lost))).status).toBe(200);
      return areHome(cluster, [lost]);
    };
    await until(isBack, { what: `the lost file is back: ${cluster.master.output}` });
  },
);

test.concurrent(
  "healing goes on after a master was killed in the middle of it, and is no faster than it may be",
  async () => {
    const bytes = 500_000;
    await using cluster = await startCluster({ volumes: 4, flags: ["-heal", "1", "-grace", "0"] });
    await cluster.volumes[0]!.kill();
    const keys = keysOfFirst(cluster, 12);
    await storeAll(cluster, keys, bytes);
    await cluster.volumes[0]!.restart();
    const backMs = performance.now();
    await until(() => keys.some((key) => areHome(cluster, [key], bytes)), {
      what: "the first is home",
      deadlineMs: 20_000,
    });
    expect(areHome(cluster, keys, bytes)).toBe(false);
    await cluster.master.kill();
    await cluster.startMaster();
    await cameHome(cluster, keys, bytes);
    const bursts = 2; // A second's worth, of each master.
    expect((performance.now() - backMs) / 1000).toBeGreaterThan((keys.length * bytes) / 1e6 - bursts);
    for (const key of keys)
      expect((await follow(await cluster.ask("GET", key))).body.equals(valueOf(key, bytes))).toBe(true);
  },
);

test.concurrent("a key with one copy gets a second when one volume is back, and its third with the last", async () => {
  await using cluster = await startCluster({ flags: [...healing, "-minreplicas", "1"] });
  const key = keyFirstOn(cluster, 0, "key");
  const [, second, third] = homeOf(cluster, key).map((volume) => cluster.volumes[indexOf(cluster, volume)]!);
  await Promise.all([second!.kill(), third!.kill()]);
  await cluster.store(key, valueOf(key));
  for (const [i, volume] of [second!, third!].entries()) {
    expect(Object.keys(copiesOf(cluster, key)).length).toBe(i + 1);
    await volume.restart();
    const copies = copiesOn(homeOf(cluster, key).slice(0, i + 2), valueOf(key));
    await until(() => Bun.deepEquals(copiesOf(cluster, key), copies), { what: "one more copy", deadlineMs: 20_000 });
  }
});

test.concurrent("with -heal 0 nothing moves, and nothing is forgotten for that", async () => {
  await using store = await startOperated({ volumes: 4, flags: ["-heal", "0", "-grace", "0"] });
  const { cluster } = store;
  await cluster.volumes[0]!.kill();
  const keys = keysOfFirst(cluster, 3);
  await storeAll(cluster, keys);
  await cluster.volumes[0]!.restart();
  await cluster.startMaster();
  const said = /heal: 0 keys healed, (\d+) left: \1 wait for -heal/;
  await until(() => said.test(cluster.master.output), { what: "it says what waits" });
  expect(keys.filter((key) => areHome(cluster, [key]))).toEqual([]);
  const [first, ...others] = keys as [string];
  const moves = async () => (await cluster.ask("POST", `${first}?rebalance`)).status === 204;
  await until(moves, { what: "a job brings the first one home" });
  await cluster.startMaster();
  const left = async () => (await store.status()).toHeal === others.length;
  await until(left, { what: "what a job has brought home does not wait any more" });
  await cluster.startMaster(healing);
  await cameHome(cluster, keys);
});

test.concurrent(
  "a change of the volumes moves nothing: what is hinted waits for a rebalance, and lost copies are put back",
  async () => {
    await using cluster = await startCluster({ volumes: 5, flags: healing });
    const [all, few] = [cluster.addresses, cluster.addresses.slice(0, 4)];
    await cluster.startMaster(healing, few);
    const keys = keysOfFirst(cluster, 12);
    const lost = keys.pop()!;
    await cluster.store(lost, valueOf(lost));
    await cluster.volumes[0]!.kill();
    await storeAll(cluster, keys);
    await cluster.master.stop();
    await cluster.volumes[0]!.restart();
    const copies = () => [...keys, lost].map((key) => copiesOf(cluster, key));
    const before = copies();
    const [victim] = Object.keys(before.at(-1)!);
    rmSync(filesAt(cluster.volumes[indexOf(cluster, victim!)]!.dir, pathOf(lost))[0]!.file);
    await cluster.startMaster(healing, all);
    await until(() => /\d+ wait for a rebalance/.test(cluster.master.output), { what: "they wait for a rebalance" });
    const isBack = async () => {
      expect((await follow(await cluster.ask("GET", lost))).status).toBe(200);
      return copiesOf(cluster, lost)[victim!] !== undefined;
    };
    await until(isBack, { what: "the lost copy is back" });
    expect(copies()).toEqual(before);
  },
);

test.concurrent("what one master was to bring home, another one on the same store does when that is gone", async () => {
  await using server = await startPostgres();
  await using cluster = await startCluster({ db: server.url, volumes: 4, flags: healing });
  await using other = await cluster.anotherMaster();
  await cluster.volumes[0]!.kill();
  const keys = keysOfFirst(cluster, 4);
  await storeAll(cluster, keys);
  await cluster.master.kill();
  await cluster.volumes[0]!.restart();
  await cameHome(cluster, keys);
  await until(() => /heal: .* 0 left/.test(other.output), { what: `it says so: ${other.output}` });
});

test.concurrent(
  "a master that is stopped while it heals a large value does not end it first, and the next one heals it",
  async () => {
    const bytes = 10_000_000;
    await using cluster = await startCluster({ volumes: 4, flags: ["-heal", "1", "-grace", "0"] });
    await cluster.volumes[0]!.kill();
    const keys = keysOfFirst(cluster, 1);
    await storeAll(cluster, keys, bytes);
    await cluster.volumes[0]!.restart();
    await until(() => cluster.remains().length === 4, { what: "healing has begun", deadlineMs: 20_000 });
    const before = performance.now();
    expect(await cluster.master.stop()).toBe(0);
    expect(performance.now() - before).toBeLessThan(15_000);
    await cluster.startMaster(["-heal", "100", "-grace", "0"]);
    await cameHome(cluster, keys, bytes);
  },
);

test.concurrent(
  "a master that is stopped is not ready, and heals no more, while a request goes on to its end",
  async () => {
    const bytes = 20_000_000;
    await using store = await startOperated({ volumes: 4, flags: ["-heal", "1", "-grace", "0"] });
    const { cluster } = store;
    await cluster.volumes[0]!.kill();
    await storeAll(cluster, keysOfFirst(cluster, 1), bytes);
    await cluster.volumes[0]!.restart();
    await until(() => cluster.remains().length === 4, { what: "healing has begun", deadlineMs: 20_000 });
    const elsewhere = Array.from({ length: 100 }, (_, i) => `/late-${i}`);
    const late = elsewhere.find((key) => homeOf(cluster, key).every((volume) => indexOf(cluster, volume) !== 0))!;
    using wire = await halfPut(cluster.master.port, late);
    const ended = cluster.master.stop();
    const isStopping = async () => {
      const { status, text } = await store.ask("/readyz");
      return status === 503 && text === "stopping\n";
    };
    await until(isStopping, { what: "it says that it stops" });
    const isGone = () => remainsOn(cluster.volumes[0]!.dir).length === 0;
    await until(isGone, { what: "what was being copied is gone" });
    expect(cluster.master.process.ended).toBe(false);
    wire.write("9");
    expect((await wire.answer()).status).toBe(201);
    expect(await ended).toBe(0);
  },
);
