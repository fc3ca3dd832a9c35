// A rebuild that is not given all volumes has not looked everywhere: what it has not looked for is not taken for gone.
import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { startCluster } from "../support/cluster";
import { keyFirstOn } from "../support/copies";
import { follow } from "../support/http";
import { runJob } from "./job";

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
