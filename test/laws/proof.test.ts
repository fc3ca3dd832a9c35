// The laws of trust (CONTRIBUTING.md), 1, 3 and 4: what must be known before a file goes, or a value counts as gone.
import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileOf } from "../jobs/damage";
import { runJob } from "../jobs/job";
import { startCluster } from "../support/cluster";
import { copiesOf, copiesOn, homeOf, indexOf, keyFirstOn } from "../support/copies";
import { filesOn } from "../support/files";
import { startGatedCluster } from "../support/gated";
import { follow } from "../support/http";
import { runMkv } from "../support/master";
import { pathOf } from "../support/placement";
import { recordOf, recordsIn, writeRecords } from "../support/records";
import { until } from "../support/until";
import { md5Hex } from "../support/values";

setDefaultTimeout(60_000);

test.concurrent(
  "law 1: a record that cannot be read is a known key: nothing of it goes, it is named, and a rebuild brings it back",
  async () => {
    await using cluster = await startGatedCluster({ volumes: 4, flags: ["-replicas", "2"] });
    await cluster.store("/dear", "dear");
    const home = homeOf(cluster, "/dear", 2);
    const written = copiesOf(cluster, "/dear");
    await cluster.ask("UNLINK", "/dear"); // A PUT over it, cut short, leaves debts at its volumes.
    const gate = cluster.gates[indexOf(cluster, home[0]!)]!;
    gate.hold("PUT", "arrival");
    const put = cluster.ask("PUT", "/dear", { body: "never acknowledged" }).catch(() => undefined);
    await gate.holds("PUT");
    await cluster.master.kill();
    await put;
    gate.open();
    const record = (await recordOf(cluster.db, "/dear"))!;
    await writeRecords(cluster.db, [["/dear", record.replace(",", " ")]]);

    await cluster.startMaster();
    for (const method of ["GET", "PUT", "DELETE", "UNLINK"]) {
      const { status, text } = await cluster.ask(method, "/dear", method === "PUT" ? { body: "x" } : {});
      expect([method, status, text]).toEqual([method, 500, expect.stringMatching(/damaged record.*run rebuild/)]);
    }
    await Bun.sleep(1500); // Long enough for what is owed to be looked at.
    expect(Object.keys(copiesOf(cluster, "/dear"))).toEqual(expect.arrayContaining(Object.keys(written).slice(1)));
    expect(Object.keys(copiesOf(cluster, "/dear")).length).toBe(2);
    const verified = await runJob(cluster, "verify", { master: cluster.master.url, flags: ["-replicas", "2"] });
    expect([verified.exitCode, verified.output]).toEqual([1, expect.stringMatching(/"\/dear": .*damaged record/)]);
    await cluster.master.stop();
    expect((await runJob(cluster, "rebuild", { flags: ["-replicas", "2"] })).exitCode).toBe(0);
    await cluster.startMaster();
    expect((await cluster.ask("GET", "/dear")).status).toBe(302);
  },
);

test.concurrent.each([
  ["CURRENT is gone", (db: string) => rmSync(join(db, "CURRENT")), /CURRENT is missing/],
  ["the folder is gone", (db: string) => rmSync(db, { recursive: true }), /there is no index at .* has values/],
  ["CURRENT is empty", (db: string) => truncateSync(join(db, "CURRENT")), /CURRENT does not name/],
] as const)(
  "laws 1 and 3: when %s the server does not start on an empty index, and a rebuild mends it",
  async (_, harm, why) => {
    await using cluster = await startCluster({ flags: ["-replicas", "2"] });
    for (let i = 0; i < 5; i++) await cluster.store(`/kept-${i}`, `kept ${i}`);
    await cluster.master.stop();
    harm(cluster.db);
    const flags = ["-db", cluster.db, "-volumes", cluster.addresses.join(","), "-replicas", "2"];
    const { exitCode, stderr } = await runMkv([...flags, "-port", "0", "server"]);
    expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/^mkv: [^\n]*run rebuild[^\n]*\n$/)]);
    expect(stderr).toMatch(why);
    expect(cluster.volumes.flatMap(({ dir }) => filesOn(dir)).length).toBe(10);
    expect((await runJob(cluster, "rebuild", { flags: ["-replicas", "2"] })).exitCode).toBe(0);
    await cluster.startMaster();
    for (let i = 0; i < 5; i++) expect((await follow(await cluster.ask("GET", `/kept-${i}`))).text).toBe(`kept ${i}`);
  },
);

test.concurrent("law 1: a copy that goes while another one is made keeps the old one where it is", async () => {
  const flags = ["-replicas", "2", "-grace", "0"];
  await using cluster = await startGatedCluster({ volumes: 4, flags });
  const key = keyFirstOn(cluster, 3, "moved");
  await cluster.startMaster(flags, cluster.addresses.slice(0, 3));
  await cluster.store(key, "moved");
  const before = Object.keys(copiesOf(cluster, key));
  const [fresh, stays] = homeOf(cluster, key, 2) as [string, string];
  await cluster.startMaster();
  const gate = cluster.gates[3]!;
  gate.hold("PUT", "arrival");
  const moving = cluster.ask("POST", `${key}?rebalance`);
  await gate.holds("PUT");
  await Bun.sleep(1100); // What was seen of the copies is old by now.
  rmSync(fileOf(cluster, key, stays));
  gate.open();
  expect((await moving).status).toBe(204);
  expect(Object.keys(copiesOf(cluster, key)).sort()).toEqual(
    [fresh, ...before.filter((volume) => volume !== stays)].sort(),
  );
});

test.concurrent(
  "law 3: a volume that is silent has not lost anything: 503, and `unknown` in a verify, never 410 or missing",
  async () => {
    await using cluster = await startCluster({ flags: ["-replicas", "1", "-voltimeout", "300ms"] });
    const key = keyFirstOn(cluster, 0, "silent");
    await cluster.store(key, "there");
    await cluster.volumes[0]!.kill();
    expect((await cluster.ask("GET", key)).status).toBe(503);
    const master = cluster.master.url;
    const flags = ["-replicas", "1", "-voltimeout", "300ms", "-repair"];
    const verified = await runJob(cluster, "verify", { master, flags });
    await cluster.volumes[0]!.start();
    expect([verified.exitCode, verified.last]).toEqual([
      1,
      expect.stringMatching(/^verified .*: 0 missing, 0 damaged, [1-9]/),
    ]);
    const served = async () => (await cluster.ask("GET", key)).status === 302;
    await until(served, { what: "the value is served again" });
  },
);

test.concurrent(
  "law 4: copies that agree outvote a record of another write, and none of them is set aside",
  async () => {
    await using cluster = await startCluster({ flags: [] });
    await cluster.store("/rewritten", "what is there");
    await cluster.master.stop();
    const home = homeOf(cluster, "/rewritten");
    await writeRecords(cluster.db, [["/rewritten", `HASH${md5Hex("what was there before")}${home.join(",")}`]]);
    await cluster.startMaster();
    const master = cluster.master.url;
    const { exitCode, output } = await runJob(cluster, "verify", { master, flags: ["-md5", "-repair"] });
    expect([exitCode, output]).toEqual([0, expect.stringMatching(/its copies agree in/)]);
    expect(copiesOf(cluster, "/rewritten")).toEqual(
      copiesOn(home.toSorted(inOrderOf(cluster.addresses)), "what is there"),
    );
    expect((await cluster.ask("GET", "/rewritten")).headers.get("content-md5")).toBe(md5Hex("what is there"));
    await cluster.master.stop();
    expect((await recordsIn(cluster.db)).map(({ value }) => value)).toEqual([
      `HASH${md5Hex("what is there")}${home.join(",")}`,
    ]);
    expect(pathOf("/rewritten")).toMatch(/^\//);
  },
);

test.concurrent("law 4: copies that agree in zeros, as a loss of power leaves them, change nothing", async () => {
  await using cluster = await startCluster();
  await cluster.store("/zeros", "what was there");
  const files = homeOf(cluster, "/zeros").map((volume) => fileOf(cluster, "/zeros", volume));
  for (const file of files) writeFileSync(file, new Uint8Array(14));
  const before = copiesOf(cluster, "/zeros");
  const master = cluster.master.url;
  const { exitCode, output } = await runJob(cluster, "verify", { master, flags: ["-md5", "-repair"] });
  expect([exitCode, output]).toEqual([1, expect.stringMatching(/not repaired: the copies on .* hold zeros alone/)]);
  expect(copiesOf(cluster, "/zeros")).toEqual(before);
  expect((await cluster.ask("GET", "/zeros")).headers.get("content-md5")).toBe(md5Hex("what was there"));
});

test.concurrent("of four copies in two pairs, none of them the value, it is not said that all hold zeros", async () => {
  const flags = ["-replicas", "4"];
  await using cluster = await startCluster({ volumes: 4, flags });
  await cluster.store("/pairs", "what was there");
  const home = homeOf(cluster, "/pairs", 4);
  const files = home.map((volume) => fileOf(cluster, "/pairs", volume));
  for (const [i, file] of files.entries()) writeFileSync(file, i < 2 ? new Uint8Array(14) : "something else");
  const how = { master: cluster.master.url, flags: [...flags, "-md5", "-repair"] };
  const { exitCode, output } = await runJob(cluster, "verify", how);
  const said = `not repaired: no good copy is left; the damaged ones now lie at /damaged${pathOf("/pairs")} on ${home.join(", ")}`;
  expect([exitCode, output]).toEqual([1, expect.stringContaining(said)]);
});

/** The order in which `copiesOf` goes through the volumes. */
function inOrderOf(addresses: readonly string[]): (a: string, b: string) => number {
  return (a, b) => addresses.indexOf(a.split("/")[0]!) - addresses.indexOf(b.split("/")[0]!);
}
