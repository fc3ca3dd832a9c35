// A volume that was put back from a backup of its own has values from before a replacement: it is told, and read last.
import { $ } from "bun";
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { Epochs, type Noted, type NotedMemory } from "../../src/volumes/epochs";
import { limits } from "../../src/limits";
import { runJob } from "../jobs/job";
import { type Cluster, startCluster } from "../support/cluster";
import { runMkv } from "../support/master";
import { follow } from "../support/http";
import { pathOf } from "../support/placement";
import { freePort } from "../support/ports";
import { writeRecords } from "../support/records";
import { until } from "../support/until";
import { startVolume } from "../support/volume";
import { watch, write } from "./watch";

setDefaultTimeout(60_000);

/** What a disk has noted of how far the store has come. */
const noteOf = (dir: string) =>
  Bun.file(`${dir}/mkv/epoch`)
    .text()
    .catch(() => "");

/** Puts what was saved in the place of what the first volume has. */
async function putBack(cluster: Cluster): Promise<void> {
  const volume = cluster.volumes[0]!;
  await volume.stop();
  await $`rm -r ${volume.dir} && cp -a ${cluster.db}-saved ${volume.dir}`;
  await volume.start();
}

/** The same with what it had before its two disks noted more; the master has ended then. */
async function putBackOnceNoted(cluster: Cluster): Promise<void> {
  const { dir } = cluster.volumes[0]!;
  const notes = () => Promise.all(["sv00", "sv01"].map((disk) => noteOf(`${dir}/${disk}`)));
  await until(async () => (await notes()).every((note) => note !== ""), { what: "the disks have noted something" });
  await $`cp -a ${dir} ${cluster.db}-saved`;
  const before = await notes();
  await cluster.startMaster();
  await until(async () => (await notes()).every((note, i) => note !== before[i]), { what: "they have noted more" });
  await cluster.master.stop();
  await putBack(cluster);
}

test.concurrent("a volume that was put back is told and read last, until a verify has read all copies", async () => {
  const adminport = String(await freePort());
  const flags = ["-replicas", "2", "-heal", "0", "-adminport", adminport, "-voltimeout", "10s"];
  await using cluster = await startCluster({ volumes: 2, flags });
  const status = () => runMkv(["-admin", `http://localhost:${adminport}`, "status"]);
  const volume = cluster.volumes[0]!;
  const keys = ["/a", "/b", "/c", "/d"];
  for (const key of keys) await cluster.store(key, "old");
  await $`cp -a ${volume.dir} ${cluster.db}-saved`;
  await cluster.startMaster(); // Each start goes on by one.
  for (const key of keys) expect((await cluster.ask("PUT", `${key}?replace`, { body: "new" })).status).toBe(201);
  await putBack(cluster);
  const warning = `${volume.address} may have values of an earlier time (put back`;
  await until(() => cluster.master.output.includes(warning), { what: "it is told" });
  expect(await status()).toMatchObject({ exitCode: 1, stdout: expect.stringContaining(warning) });
  const expectNew = async () => {
    for (const key of keys) expect((await follow(await cluster.ask("GET", key))).text).toBe("new");
  };
  await expectNew();
  await cluster.startMaster();
  expect(cluster.master.output).toContain(warning);
  cluster.volumes[1]!.freeze();
  const reads = expectNew();
  await Bun.sleep(3 * limits.hedgeMs); // After which others are asked.
  cluster.volumes[1]!.thaw();
  await reads;
  const master = `http://localhost:${cluster.master.port}`;
  expect((await runJob(cluster, "verify", { master, flags: ["-repair"] })).exitCode).toBe(0);
  await cluster.startMaster();
  expect(cluster.master.output).toContain(warning); // It has not read them.
  const again = `http://localhost:${cluster.master.port}`;
  const { exitCode, last } = await runJob(cluster, "verify", { master: again, flags: ["-md5", "-repair"] });
  expect([exitCode, last]).toEqual([0, expect.stringContaining("4 damaged")]);
  for (const key of keys) expect(new Set(cluster.filesOf(pathOf(key)).map(({ md5 }) => md5)).size).toBe(1);
  await cluster.startMaster();
  expect(cluster.master.output).not.toContain("of an earlier time");
  expect((await status()).stdout).not.toContain("of an earlier time");
});

test.concurrent.each([0, 40])(
  "a disk whose note is %i zeros has lost writes: it is told as one that was put back",
  async (bytes) => {
    await using cluster = await startCluster({ volumes: 1, flags: ["-replicas", "1", "-subvolumes", "2"] });
    const { dir, address } = cluster.volumes[0]!;
    const note = `${dir}/sv01/mkv/epoch`;
    await until(async () => (await noteOf(`${dir}/sv01`)) !== "", { what: "the disk has noted something" });
    await cluster.master.stop();
    writeFileSync(note, new Uint8Array(bytes));
    await cluster.startMaster();
    const warning = `${address}/sv01 may have values of an earlier time (put back`;
    await until(() => cluster.master.output.includes(warning), { what: "it is told" });
  },
);

test.concurrent("a disk that is adopted with files on it is told and read last as well", async () => {
  const flags = ["-replicas", "2", "-subvolumes", "1", "-heal", "0"];
  await using cluster = await startCluster({ volumes: 2, flags });
  const volume = cluster.volumes[0]!;
  await cluster.store("/key", "old");
  await $`cp -a ${volume.dir} ${cluster.db}-saved && rm -r ${cluster.db}-saved/mkv`;
  expect((await cluster.ask("PUT", "/key?replace", { body: "new" })).status).toBe(201);
  await cluster.master.stop();
  await putBack(cluster);
  await cluster.startMaster();
  expect(cluster.master.output).toContain(`${volume.address} is not the disk it was (no id)`);
  const master = cluster.master.url;
  expect((await runJob(cluster, "adopt", { master, words: [volume.address] })).exitCode).toBe(0);
  for (let i = 0; i < 12; i++) expect((await follow(await cluster.ask("GET", "/key"))).text).toBe("new");
  const same = cluster.addresses[1]!; // Which is the one that it was.
  expect((await runJob(cluster, "adopt", { master, words: [same] })).exitCode).toBe(0);
  await cluster.startMaster();
  expect(cluster.master.output).toContain(` warn ${volume.address} may have values of an earlier time`);
  expect(cluster.master.output).not.toContain(`${same} may have`);
  for (const name of readdirSync(volume.dir)) if (name !== ".mkv") await $`rm -r ${volume.dir}/${name}`;
  const again = cluster.master.url;
  expect((await runJob(cluster, "adopt", { master: again, words: [volume.address] })).exitCode).toBe(0);
  await cluster.startMaster();
  expect(cluster.master.output).not.toContain("of an earlier time");
});

test.concurrent("a volume that was put back under another name is told as well", async () => {
  const flags = ["-replicas", "1", "-subvolumes", "2"];
  await using cluster = await startCluster({ volumes: 1, flags });
  await putBackOnceNoted(cluster);
  const renamed = cluster.addresses[0]!.replace("localhost", "127.0.0.1");
  await cluster.startMaster(flags, [renamed]);
  expect(cluster.master.output).toContain(`${renamed} may have values of an earlier time`);
});

test.concurrent("a verify without a master forgets of a volume that was put back what it has proven", async () => {
  const flags = ["-replicas", "1", "-subvolumes", "2"];
  await using cluster = await startCluster({ volumes: 1, flags });
  await putBackOnceNoted(cluster);
  const notes = () => Promise.all(["sv00", "sv01"].map((disk) => noteOf(`${cluster.volumes[0]!.dir}/${disk}`)));
  const before = await notes();
  const verified = async () => {
    const { exitCode, stderr } = await runJob(cluster, "verify", { flags: [...flags, "-md5", "-repair"] });
    const warning = `${cluster.addresses[0]} may have values of an earlier`;
    expect([exitCode, stderr]).toEqual([0, expect.stringContaining(warning)]);
    return (await notes()).every((note, i) => note !== before[i]); // One that ends sooner leaves them to the next.
  };
  await until(verified, { what: "a verify has ended, and the disks have noted more" });
  await cluster.startMaster();
  expect(cluster.master.output).not.toContain("of an earlier time");
});

test.concurrent(
  "a note of a master that was frozen, which comes late, is not taken for a volume that was put back",
  async () => {
    await using volume = await startVolume();
    const { volumes, identity } = watch([volume.address], { subvolumes: 1 });
    await volumes.probeAll();
    let kept: ReadonlyMap<string, Noted> = new Map();
    const seen: string[] = [];
    const memory: NotedMemory = {
      counts: async () => new Map(kept),
      keep: async (_, counts) => void (kept = counts),
      putEarlier: async (place) => void seen.push(place),
    };
    const epochs = new Epochs(volumes, memory, new Map());
    const store = crypto.randomUUID();
    const note = (count: number) => epochs.note({ store, count }, "all");
    const comesLate = (count: number) => write(volume, "mkv/epoch", `${store} ${count}\n`);
    await note(3);
    expect(existsSync(`${volume.dir}/mkv/epoch`)).toBe(false); // Nobody has asked yet whose it is.
    await identity.check();
    await note(3);
    await note(6);
    comesLate(5);
    await note(7);
    expect(seen).toEqual([]);
    comesLate(6); // Which it had said before.
    await epochs.look();
    await note(8); // A verify that has begun since proves what was seen once.
    expect(seen).toEqual([volume.address]);
    comesLate(7);
    await note(9);
    expect(seen).toEqual([volume.address, volume.address]);
    const ofAnother = async () => {
      comesLate(12); // Another master has it note that, and keeps it, between the answer of a place and what is kept.
      return new Map([[volume.address, { last: 12, before: 9 }]]);
    };
    await new Epochs(volumes, { ...memory, counts: ofAnother }, new Map()).look();
    expect(seen).toHaveLength(2);
  },
);

test.concurrent("a rebuild brings back nothing that was deleted since from a volume that was put back", async () => {
  const flags = ["-replicas", "1", "-subvolumes", "1"];
  await using cluster = await startCluster({ volumes: 1, flags });
  const volume = cluster.volumes[0]!;
  for (const key of ["/damaged", "/gone", "/kept"]) await cluster.store(key);
  await $`cp -a ${volume.dir} ${cluster.db}-saved`;
  await cluster.startMaster();
  expect((await cluster.ask("DELETE", "/gone")).status).toBe(204);
  await cluster.master.stop();
  await putBack(cluster);
  await writeRecords(cluster.db, [["/damaged", "no record"]]); // Whether that was deleted is not known.
  const { exitCode, last, stderr } = await runJob(cluster, "rebuild", { flags });
  expect([exitCode, last, stderr]).toEqual([
    0,
    expect.stringContaining(": 2 keys in 2 files; 1 file reported"),
    `${volume.address}${pathOf("/gone")}: on a disk that was put back, and deleted since, not indexed\n` +
      '"/damaged": its old record cannot be read: if it was unlinked, UNLINK it again\n',
  ]);
});
