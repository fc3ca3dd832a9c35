// A volume of another store, named by mistake, and a copy of a disk are not used: what is acknowledged stays as it is.
import { expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runJob } from "../jobs/job";
import { startCluster } from "../support/cluster";
import { startFaultyVolume } from "../support/faulty";
import { filesOn } from "../support/files";
import { follow } from "../support/http";
import { runMkv } from "../support/master";
import { until } from "../support/until";
import { type Volume, startVolume } from "../support/volume";
import { Memory, heard, watch, write } from "./watch";

setDefaultTimeout(60_000);
const said = heard();
const flags = ["-replicas", "1"];

test("a store that is given another one's volume writes nothing there, and a rebuild takes no value from it", async () => {
  await using one = await startCluster({ volumes: 1, flags });
  await using other = await startCluster({ volumes: 2, flags });
  const keys = Array.from({ length: 8 }, (_, i) => `/key${i}`);
  for (const key of keys) await other.store(key, "the other's");
  await one.store("/own");
  const stranger = other.addresses[0]!;
  const both = [...one.addresses, stranger];
  await one.startMaster(flags, both);
  const line = `${stranger} is new, and has files, maybe of another store: if it belongs to this store, run "mkv adopt ${stranger}"`;
  expect(one.master.output).toContain(line);
  for (const key of keys) await one.store(key, "one's own");
  for (const key of keys) expect((await follow(await other.ask("GET", key))).text).toBe("the other's");
  await one.master.stop();
  const rebuilt = await runJob(one, "rebuild", { volumes: both, flags });
  expect([rebuilt.exitCode, rebuilt.stderr]).toEqual([1, expect.stringContaining(line)]);
  const anew = await runJob(one, "rebuild", { volumes: both, flags, db: `${one.db}-anew` });
  const apart = `mkv: ${both.join(" and ")} are of different stores (by mkv/epoch on them)`;
  expect([anew.exitCode, anew.stderr]).toEqual([1, expect.stringContaining(apart)]);
});

test("a store whose volume another one has taken for its own is told", async () => {
  await using cluster = await startCluster({ volumes: 1, flags });
  await cluster.master.stop();
  const volume = cluster.volumes[0]!;
  write(volume, "sv03/mkv/epoch", `${crypto.randomUUID()} 9\n`);
  await cluster.startMaster();
  const what = `${volume.address}/sv03 has notes of another store`;
  await until(() => cluster.master.output.includes(what), { what });
});

test("what has had another name, or is empty, is no stranger", async () => {
  await using old = await startVolume();
  await using added = await startVolume();
  const memory = new Memory();
  await watch([old.address], { memory }).identity.check();
  write(old, "sv00/ab/cd/value", "its own");
  const renamed = old.address.replace("localhost", "127.0.0.1");
  await watch([added.address]).identity.check(); // It has been of a store before, and was emptied.
  const { identity, volumes } = watch([renamed, added.address], { memory });
  await identity.check();
  expect([renamed, added.address].map((name) => volumes.health.isForeign(name))).toEqual([false, false]);
  expect([memory.get(renamed), said]).toEqual([memory.get(old.address), []]);
});

test("what a first start had not remembered before it was killed is no stranger to the next one", async () => {
  await using one = await startVolume();
  await using other = await startVolume();
  for (const volume of [one, other]) write(volume, "sv00/ab/cd/value", "of the Go program");
  const memory = new Memory();
  await memory.begin([one.address]);
  const { identity, volumes } = watch([one.address, other.address], { memory });
  await identity.check();
  const places = [other.address, `${other.address}/sv00`, `${one.address}/sv00`];
  expect([places.map((place) => volumes.health.isForeign(place)), said]).toEqual([[false, false, false], []]);
});

test("what is new and lists nothing holds up no look at the others", async () => {
  await using old = await startVolume();
  await using hung = await startFaultyVolume(({ method, path }) => {
    if (method === "GET" && path === "/") return { does: "stall" };
    return { does: "answer", status: method === "HEAD" ? 200 : 404 };
  });
  const memory = new Memory();
  await watch([old.address], { memory }).identity.check();
  const { identity, volumes } = watch([old.address, hung.address], { memory });
  await identity.check();
  expect(volumes.health.isForeign(hung.address)).toBe(true);
  expect(said).toEqual([
    expect.stringContaining(`${hung.address} is new, and not used before it can be listed: it has`),
  ]);
});

test("a disk that was filled from another one, ids and all, is not used, and its store is served", async () => {
  await using cluster = await startCluster({ volumes: 2, flags });
  const [one, other] = cluster.volumes as [Volume, Volume];
  const adopt = () => runMkv(["-master", cluster.master.url, "adopt", other.address]);
  await cluster.master.stop();
  const ids = readdirSync(one.dir).filter((name) => existsSync(join(one.dir, name, "mkv", "id")));
  for (const disk of ["", ...ids]) copyFileSync(join(one.dir, disk, "mkv", "id"), join(other.dir, disk, "mkv", "id"));
  await cluster.startMaster();
  const line = `${other.address} is not the disk it was (it has the id of ${one.address}): if the two were exchanged, put each back`;
  expect(cluster.master.output).toContain(line);
  await cluster.store("/new");
  expect(filesOn(other.dir)).toEqual([]);
  expect(await adopt()).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(line) });
  for (const disk of ["", ...ids]) rmSync(join(other.dir, disk, "mkv", "id"));
  expect(await adopt()).toMatchObject({ exitCode: 0 });
});
