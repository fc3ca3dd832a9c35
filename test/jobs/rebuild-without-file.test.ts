// Keys of the old index of which a rebuild finds no file. Where it has not looked everywhere, they are not taken for gone; where
// it has, what was acknowledged is lost, and the operator is told.
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { startCluster } from "../support/cluster";
import { keyFirstOn } from "../support/copies";
import { follow } from "../support/http";
import { pathOf } from "../support/placement";
import { writeRecords } from "../support/records";
import { indexOf, runJob } from "./job";

setDefaultTimeout(60_000);

test("values of a volume that was forgotten are kept, shown when it is named again, and can be deleted", async () => {
  const flags = ["-replicas", "1"];
  await using cluster = await startCluster({ volumes: 2, flags });
  const [forgotten, named] = cluster.addresses as [string, string];
  const keys = ["live", "soft", "done"].map((name) => keyFirstOn(cluster, 0, name));
  const [live, soft, done] = keys as [string, string, string];
  for (const key of [...keys, keyFirstOn(cluster, 1, "other")]) await cluster.store(key);
  await cluster.ask("UNLINK", soft);
  await cluster.master.stop();
  const { exitCode, stderr } = await runJob(cluster, "rebuild", { volumes: [named], flags });
  expect([exitCode, stderr]).toEqual([
    0,
    `3 keys without a file are kept as the old index says: -volumes does not name ${forgotten}, where values may lie\n`,
  ]);
  await cluster.startMaster(flags);
  expect((await cluster.ask("PUT", live, { body: "over it" })).status).toBe(403);
  expect((await follow(await cluster.ask("GET", live))).text).toBe(`value of ${live}`);
  expect(await cluster.keys("unlinked")).toEqual([soft]);
  await cluster.startMaster(flags, [named]);
  await cluster.volumes[0]!.stop(); // For good.
  expect((await cluster.ask("DELETE", done)).status).toBe(204);
  await cluster.store(done, "another");
});

test("values that are lost on all volumes are told, and their keys stay taken until they are deleted or a copy is back", async () => {
  await using cluster = await startCluster();
  const lost = ["/lost-1", "/lost-2", "/lost-3", "/lost-4", "/lost-5", "/lost-6"];
  for (const key of [...lost, "/soft", "/whole", "/z-lost"]) await cluster.store(key);
  await cluster.ask("UNLINK", "/soft");
  await cluster.master.stop();
  const moved = cluster.filesOf(pathOf("/lost-1"))[0]!;
  renameSync(moved.file, `${cluster.db}-moved`);
  for (const key of [...lost, "/soft", "/z-lost"]) for (const { file } of cluster.filesOf(pathOf(key))) rmSync(file);
  const { exitCode, last, stderr } = await runJob(cluster, "rebuild");
  expect([exitCode, stderr]).toEqual([
    0,
    '7 keys of the old index have no copy on any volume ("/lost-1", "/lost-2", "/lost-3", "/lost-4", "/lost-5", ...): ' +
      "kept, and a GET is 410 until the disk or files that had them are back: DELETE them if they cannot be had\n",
  ]);
  expect(last).toContain(": 1 key in 3 files;");
  renameSync(`${cluster.db}-moved`, moved.file);
  await cluster.startMaster();
  const statuses = async (method: string, key: string) => [method, key, (await cluster.ask(method, key)).status];
  expect((await follow(await cluster.ask("GET", "/lost-1"))).text).toBe("value of /lost-1");
  expect(await statuses("GET", "/z-lost")).toEqual(["GET", "/z-lost", 410]);
  expect((await cluster.ask("PUT", "/z-lost", { body: "over it" })).status).toBe(403);
  expect(await statuses("DELETE", "/z-lost")).toEqual(["DELETE", "/z-lost", 204]);
  await cluster.store("/z-lost", "another");
  expect(await cluster.keys("unlinked")).toEqual([]); // Nobody could have that value back.
});

test("where the index is lost, a volume that the store had and nobody names is told", async () => {
  const flags = ["-replicas", "1"];
  await using cluster = await startCluster({ volumes: 2, flags });
  const [forgotten, named] = cluster.addresses as [string, string];
  await cluster.store(keyFirstOn(cluster, 0, "live"));
  await cluster.master.stop();
  rmSync(cluster.db, { recursive: true });
  const rebuild = async (volumes: string[]) => (await runJob(cluster, "rebuild", { volumes, flags })).stderr;
  expect(await rebuild([named])).toContain(
    `-volumes does not name ${forgotten}, which the store had: if there are values`,
  );
  rmSync(cluster.db, { recursive: true });
  expect(await rebuild([forgotten.replace("localhost", "127.0.0.1"), named])).toBe("");
});

test("more keys with and without a file than one write puts are all kept, and damaged records cost their own keys", async () => {
  const flags = ["-replicas", "1", "-subvolumes", "1", "-threads", "1"];
  await using cluster = await startCluster({ volumes: 1, flags });
  await cluster.master.stop();
  const { dir, address } = cluster.volumes[0]!;
  const numbers = Array.from({ length: 1_100 }, (_, i) => i);
  for (const i of numbers) {
    const file = join(dir, pathOf(`/there-${i}`));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, "x");
  }
  const record = `HASH${"0".repeat(32)}${address}`;
  const kept = numbers.flatMap((i) => [`/lost-${i}`, `/there-${i}`]).map((key) => [key, record] as [string, string]);
  await writeRecords(cluster.db, [...kept, ["/damaged", "no record"]]);
  const { exitCode, last, stderr } = await runJob(cluster, "rebuild", { flags });
  expect([exitCode, last]).toEqual([0, expect.stringContaining(": 1100 keys in 1100 files; 0 files reported")]);
  expect(stderr).toStartWith(
    '"/damaged": its record is damaged, and it has no file: not kept\n1100 keys of the old index',
  );
  expect(await indexOf(cluster.db)).toEqual(Object.fromEntries(kept));
});
