// An older copy of the index, and of its journals, is put back, and rebuilt.
import { expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { copiesOf, homeOf, indexOf, keyFirstOn } from "../support/copies";
import { startGatedCluster } from "../support/gated";
import { follow } from "../support/http";
import { runMkv, type Outcome } from "../support/master";
import { pathOf } from "../support/placement";
import { until } from "../support/until";
import { md5Hex } from "../support/values";

setDefaultTimeout(90_000);

const indexFile = /^index(\.journal-\d+)?$/;

/** Copies the index and its journals, by their names in the folder. */
function copyIndex(from: string, to: string): void {
  for (const name of readdirSync(from)) {
    if (indexFile.test(name)) cpSync(join(from, name), join(to, name), { recursive: true });
  }
}

/** Puts the copy in the place of what is there; the master must have ended. */
function restore(cluster: Cluster, copy: string): void {
  const folder = dirname(cluster.db);
  for (const name of readdirSync(folder)) if (indexFile.test(name)) rmSync(join(folder, name), { recursive: true });
  copyIndex(copy, folder);
}

function rebuild(cluster: Cluster): Promise<Outcome> {
  return runMkv(["-db", cluster.db, "-volumes", cluster.addresses.join(","), "rebuild"]);
}

async function putBack(cluster: Cluster, copy: string): Promise<void> {
  restore(cluster, copy);
  expect((await rebuild(cluster)).exitCode).toBe(0);
  await cluster.startMaster();
}

test.concurrent(
  "the value that was acknowledged last is found, though more volumes still have the one before it",
  async () => {
    await using cluster = await startCluster({ volumes: 4, flags: ["-minreplicas", "1", "-voltimeout", "1s"] });
    const copy = join(dirname(cluster.db), "copy");
    const key = keyFirstOn(cluster, 0, "again");
    const home = homeOf(cluster, key);
    await cluster.store(key, "first");
    await cluster.master.stop();
    copyIndex(dirname(cluster.db), copy);
    await cluster.startMaster();
    const dated = Math.max(...cluster.filesOf(pathOf(key)).map(({ mtimeMs }) => mtimeMs));
    await until(() => Date.now() > dated + 1000, { what: "the next value is of a later second" });

    const away = home.slice(1).map((volume) => cluster.volumes[indexOf(cluster, volume)]!);
    for (const volume of away) await volume.kill();
    expect((await cluster.ask("DELETE", key)).status).toBe(204);
    const written = async () => (await cluster.ask("PUT", key, { body: "second" })).status === 201;
    await until(written, { what: "the volumes that are left take the value" });
    await cluster.master.kill();
    for (const volume of away) await volume.restart();
    await putBack(cluster, copy);

    expect(await cluster.keys("list")).toEqual([key]);
    for (let i = 0; i < 12; i++) expect((await follow(await cluster.ask("GET", key))).text).toBe("second");
  },
);

test.concurrent(
  "a write that a volume still had in hand does not land in the value that the rebuild has found",
  async () => {
    await using cluster = await startGatedCluster({ flags: ["-voltimeout", "2s"] });
    const copy = join(dirname(cluster.db), "copy");
    const key = "/found";
    await cluster.store(key, "first");
    await cluster.master.stop();
    copyIndex(dirname(cluster.db), copy);
    await cluster.startMaster();
    await cluster.ask("UNLINK", key);
    const gate = cluster.gates[1]!;
    gate.hold("PUT", "arrival", { late: true, times: 1 });
    const put = cluster.ask("PUT", key, { body: "second" }).catch(() => undefined);
    await gate.holds("PUT");
    await cluster.master.kill();
    await put;
    await putBack(cluster, copy);
    const before = copiesOf(cluster, key);
    gate.open();
    await until(() => gate.lateArrivals === 1, { what: "what was in hand arrives" });
    expect(copiesOf(cluster, key)).toEqual(before);
  },
);

test.concurrent("a copy of before a rebuild is known to be older, however often it was opened", async () => {
  await using cluster = await startCluster();
  const copy = join(dirname(cluster.db), "copy");
  for (let i = 0; i < 5; i++) await cluster.startMaster();
  await cluster.store("/early");
  await cluster.master.stop();
  copyIndex(dirname(cluster.db), copy);
  await cluster.startMaster();
  await cluster.store("/late");
  await cluster.master.stop();
  expect((await rebuild(cluster)).exitCode).toBe(0);
  await cluster.startMaster();
  await cluster.master.stop();
  restore(cluster, copy);
  await cluster.startMaster();
  expect(cluster.master.output).toContain("may lack what was acknowledged last");
});

test.concurrent(
  "a rebuild over an older copy that fails leaves it known as older: the next one believes it no more than the first",
  async () => {
    await using cluster = await startCluster({ volumes: 3 });
    const copy = join(dirname(cluster.db), "copy");
    await cluster.store("/again", "first");
    await cluster.master.stop();
    copyIndex(dirname(cluster.db), copy);
    await cluster.startMaster();
    const dated = Math.max(...cluster.filesOf(pathOf("/again")).map(({ mtimeMs }) => mtimeMs));
    await until(() => Date.now() > dated + 1000, { what: "the next value is of a later second" });
    expect((await cluster.ask("DELETE", "/again")).status).toBe(204);
    await cluster.store("/again", "second");
    await cluster.master.stop();
    restore(cluster, copy);
    await cluster.volumes[1]!.kill();
    for (let i = 0; i < 4; i++) expect((await rebuild(cluster)).exitCode).toBe(1);
    await cluster.volumes[1]!.restart();
    expect((await rebuild(cluster)).exitCode).toBe(0);
    await cluster.startMaster();
    const found = await cluster.ask("GET", "/again");
    expect((await follow(found)).text).toBe("second");
    expect(found.headers.get("content-md5")).toBe(md5Hex("second"));
  },
);
