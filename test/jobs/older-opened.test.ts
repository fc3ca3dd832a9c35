// An older copy of the index, by what the volumes have noted, stays an older one: whoever opens it, wherever it is moved, and
// also if the volumes take their time to say so.
import { expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { copyFolder, temporaryFolder } from "../support/folder";
import { NOTE } from "../support/gate";
import { startGatedCluster } from "../support/gated";
import { follow } from "../support/http";
import { type Master, runMkv } from "../support/master";
import { writeRecords } from "../support/records";
import { within } from "../support/until";
import { startJob } from "./job";

setDefaultTimeout(60_000);

const warning = "may lack what was acknowledged last";

/** A store whose master has ended, and over whose index lies an older copy: it does not know `/new`, and not of `/soft` again. */
async function startPutBack<Kind extends Cluster>(start: () => Promise<Kind>): Promise<Kind> {
  const cluster = await start();
  await using copy = temporaryFolder();
  await cluster.store("/soft", "once");
  expect((await cluster.ask("UNLINK", "/soft")).status).toBe(204);
  await cluster.master.stop();
  copyFolder(dirname(cluster.db), copy.path);
  await cluster.startMaster();
  await cluster.store("/soft", "twice");
  await cluster.store("/new", "acknowledged");
  await cluster.master.stop();
  for (const name of readdirSync(dirname(cluster.db))) rmSync(join(dirname(cluster.db), name), { recursive: true });
  cpSync(copy.path, dirname(cluster.db), { recursive: true });
  return cluster;
}

async function expectOlder(cluster: Cluster, master: Master): Promise<void> {
  expect(master.output).toContain(warning);
  expect((await cluster.ask("PUT", "/new", { body: "over it" })).status).toBe(503);
}

/** All volumes are stopped while a master starts and ends. */
async function serveInVain(cluster: Cluster): Promise<void> {
  for (const volume of cluster.volumes) await volume.stop();
  await cluster.startMaster();
  await cluster.master.stop();
  for (const volume of cluster.volumes) await volume.start();
}

test.concurrent(
  "an older copy is no newer for a job that has only read it, or a master that met no volume",
  async () => {
    await using cluster = await startPutBack(startCluster);
    for (const command of ["export", "verify"])
      await runMkv(["-db", cluster.db, "-volumes", cluster.addresses.join(","), command]);
    await serveInVain(cluster);
    await expectOlder(cluster, await cluster.startMaster());
  },
);

test.concurrent("an older copy that was served as one is known as older where it is moved to", async () => {
  await using cluster = await startPutBack(startCluster);
  await expectOlder(cluster, await cluster.startMaster());
  await cluster.master.stop();
  const moved = `${cluster.db}-moved`;
  cpSync(cluster.db, moved, { recursive: true });
  cluster.master = await cluster.anotherMaster([], { db: moved });
  await expectOlder(cluster, cluster.master);
});

test.concurrent("an index that was rebuilt elsewhere is an older one if the first one has served since", async () => {
  await using cluster = await startCluster();
  await cluster.store("/kept");
  await cluster.master.stop();
  const elsewhere = `${cluster.db}-elsewhere`;
  expect(await startJob(cluster, "rebuild", { db: elsewhere }).exited).toBe(0);
  await cluster.startMaster();
  await cluster.store("/new", "acknowledged");
  await cluster.master.stop();
  cluster.master = await cluster.anotherMaster([], { db: elsewhere });
  await expectOlder(cluster, cluster.master);
});

test.concurrent.each(["say so at once", "take their time"])(
  "an index that the Go program has made anew is another one, where the volumes, which %s, have served this store since",
  async (how) => {
    await using cluster = await startGatedCluster();
    await cluster.store("/new", "acknowledged");
    await cluster.master.stop();
    const other = `${cluster.db}-of-go`;
    await writeRecords(other, []);
    if (how === "take their time") for (const gate of cluster.gates) gate.hold(NOTE, "arrival");
    cluster.master = await cluster.anotherMaster([], { db: other });
    expect((await cluster.ask("PUT", "/new", { body: "over it" })).status).toBe(503);
    if (how === "take their time") {
      cluster.openAll();
      expect(await within(cluster.master.process.exited, { what: "the master ends" })).toBe(1);
      cluster.master = await cluster.anotherMaster([], { db: other });
    }
    await expectOlder(cluster, cluster.master);
    await cluster.master.stop();
    expect(await startJob(cluster, "rebuild", { db: other }).exited).toBe(0);
    cluster.master = await cluster.anotherMaster([], { db: other });
    expect((await follow(await cluster.ask("GET", "/new"))).text).toBe("acknowledged");
  },
);

test.concurrent("a rebuild waits until all volumes have said how far the store has come", async () => {
  await using cluster = await startPutBack(startCluster);
  for (const volume of cluster.volumes) volume.freeze();
  await using rebuild = startJob(cluster, "rebuild");
  await Bun.sleep(3_000); // Longer than a master waits for volumes.
  for (const volume of cluster.volumes) volume.thaw();
  expect([await rebuild.exited, rebuild.stderr]).toEqual([0, expect.any(String)]);
  await cluster.startMaster();
  for (const [key, text] of [
    ["/soft", "twice"],
    ["/new", "acknowledged"],
  ] as const)
    expect((await follow(await cluster.ask("GET", key))).text).toBe(text);
});

test.concurrent(
  "nothing is written over an older copy before a volume has said how far the store has come",
  async () => {
    await using cluster = await startPutBack(startGatedCluster);
    for (const gate of cluster.gates) gate.hold(NOTE, "arrival");
    await cluster.startMaster();
    expect(cluster.master.output).not.toContain(warning);
    expect((await cluster.ask("PUT", "/new", { body: "over it" })).status).toBe(503);
    cluster.openAll();
    expect(await within(cluster.master.process.exited, { what: "the master ends" })).toBe(1);
  },
);
