// A disk that may have files of an earlier time mends none of what others have, and is mended itself.
import { $ } from "bun";
import { expect, setDefaultTimeout, test } from "bun:test";
import { rmSync } from "node:fs";
import { runJob } from "../jobs/job";
import { startCluster } from "../support/cluster";
import { keyFirstOn } from "../support/copies";
import { filesAt } from "../support/files";
import { pathOf } from "../support/placement";
import { until } from "../support/until";
import { md5Hex } from "../support/values";

setDefaultTimeout(60_000);

test("without an MD5, a disk that is adopted with earlier files gets the new values, and gives no old ones", async () => {
  const flags = ["-md5sum=false", "-subvolumes", "1", "-heal", "20", "-grace", "0"];
  await using cluster = await startCluster({ flags });
  const volume = cluster.volumes[0]!;
  const [shorter, same] = ["shorter", "same"].map((name) => keyFirstOn(cluster, 0, name)) as [string, string];
  const values = new Map([
    [shorter, "new"],
    [same, "a newer value"],
  ]);
  for (const key of values.keys()) await cluster.store(key, "an older one.");
  await cluster.master.stop();
  await volume.stop();
  await $`cp -a ${volume.dir} ${cluster.db}-saved && rm -r ${cluster.db}-saved/mkv`;
  await volume.start();
  await cluster.startMaster();
  for (const [key, value] of values) {
    expect((await cluster.ask("DELETE", key)).status).toBe(204);
    await cluster.store(key, value);
    rmSync(filesAt(cluster.volumes[1]!.dir, pathOf(key))[0]!.file); // Of two lengths, none has more copies.
  }
  await cluster.master.stop();
  await volume.stop();
  await $`rm -r ${volume.dir} && cp -a ${cluster.db}-saved ${volume.dir}`;
  await volume.start();
  await cluster.startMaster();
  const adopt = { flags: ["-subvolumes", "1"], words: [volume.address], master: cluster.master.url };
  expect(await runJob(cluster, "adopt", adopt)).toMatchObject({ exitCode: 0 });
  const said = `heal: ${volume.address} is filled: `;
  await until(() => cluster.master.output.includes(said), { what: said, deadlineMs: 20_000 });
  for (const [key, value] of values)
    expect(cluster.filesOf(pathOf(key)).map(({ md5 }) => md5)).toEqual(Array(3).fill(md5Hex(value)));
});
