// A volume answers for the first time when the master serves already: it is asked who it is before anything is written there.
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { startCluster } from "../support/cluster";
import { keyFirstOn } from "../support/copies";
import { filesAt } from "../support/files";
import { pathOf } from "../support/placement";
import { until } from "../support/until";

setDefaultTimeout(60_000);

test("a disk that is not mounted, on a volume that was slow at the start, gets no value", async () => {
  const flags = ["-subvolumes", "1", "-replicas", "1", "-voltimeout", "6s"];
  await using cluster = await startCluster({ volumes: 2, flags });
  const volume = cluster.volumes[0]!;
  volume.freeze();
  await cluster.master.stop();
  const disk = `${volume.dir}-disk`;
  mkdirSync(disk);
  for (const name of readdirSync(volume.dir)) if (name !== ".mkv") renameSync(join(volume.dir, name), join(disk, name));
  await cluster.startMaster();
  volume.thaw();
  let tries = 0;
  const isSeen = async () => {
    const key = keyFirstOn(cluster, 0, `try-${++tries}`);
    await cluster.ask("PUT", key, { body: "value" });
    expect([key, filesAt(volume.dir, pathOf(key)).length]).toEqual([key, 0]);
    return cluster.master.output.includes(`${volume.address} is not the disk it was`);
  };
  await until(isSeen, { what: "it is known that the disk is not there" });
  expect(tries).toBeGreaterThan(0);
});
