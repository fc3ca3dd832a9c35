// A rebuild to a new path, where nothing is remembered of the disks: what other places carry tells that one is not mounted.
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { startCluster } from "../support/cluster";
import { copiesOf, keyFirstOn, homeOf } from "../support/copies";
import { runJob } from "./job";

setDefaultTimeout(60_000);

/** Moves what is on a disk away: its folder is the mount point then. */
function unmount(folder: string, to: string): void {
  mkdirSync(to);
  for (const name of readdirSync(folder)) if (name !== ".mkv") renameSync(join(folder, name), join(to, name));
}

test.each(["a volume", "a disk of a volume"])("%s that is not mounted is not taken for an empty one", async (what) => {
  await using cluster = await startCluster({ volumes: 2, flags: ["-replicas", "1"] });
  const key = keyFirstOn(cluster, 0, "key");
  await cluster.store(key);
  await cluster.store("/other");
  await cluster.master.stop();
  const { dir } = cluster.volumes[0]!;
  const disk = what === "a volume" ? "" : homeOf(cluster, key, 1)[0]!.split("/")[1]!;
  expect(Object.keys(copiesOf(cluster, key))).toHaveLength(1);
  unmount(join(dir, disk), `${dir}-disk`);
  const db = `${cluster.db}-new`;
  const { exitCode, stderr } = await runJob(cluster, "rebuild", { db, flags: ["-replicas", "1"] });
  expect([exitCode, stderr]).toEqual([1, expect.stringContaining("has no id, and others have")]);
  expect(existsSync(db)).toBe(false);
});
