// A volume that was replaced by an empty one is filled once it was adopted, without a job.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { runJob } from "../jobs/job";
import { namesRemembered } from "../jobs/remembered";
import { startCluster } from "../support/cluster";
import { filesOn } from "../support/files";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";
import { storeAll } from "./home";

setDefaultTimeout(60_000);

test("an emptied volume is filled after mkv adopt, though the master is killed in the middle of it", async () => {
  const [bytes, oneDisk] = [500_000, ["-subvolumes", "1"]];
  await using cluster = await startCluster({ flags: [...oneDisk, "-heal", "1"] });
  const [{ dir, address }] = cluster.volumes as [(typeof cluster.volumes)[0]];
  const keys = Array.from({ length: 6 }, (_, i) => `/key-${i}`);
  await storeAll(cluster, keys, bytes);
  await cluster.master.stop();
  const inside = readdirSync(dir).filter((name) => /^([0-9a-f]{2}|mkv)$/.test(name));
  for (const name of inside) rmSync(join(dir, name), { recursive: true });
  await cluster.startMaster();
  const adopt = { flags: oneDisk, words: [address], master: cluster.master.url };
  expect(await runJob(cluster, "adopt", adopt)).toMatchObject({ exitCode: 0 });
  await until(() => filesOn(dir).length > 1, { what: "filling has begun" });
  expect(filesOn(dir).length).toBeLessThan(keys.length);
  await cluster.master.kill();
  await cluster.startMaster();
  const values = keys.map((key) => md5Hex(valueOf(key, bytes))).sort();
  const isFilled = () =>
    Bun.deepEquals(
      filesOn(dir)
        .map(({ md5 }) => md5)
        .sort(),
      values,
    );
  await until(isFilled, { what: "it is filled", deadlineMs: 30_000 });
  const said = `heal: ${address} is filled: `;
  await until(() => cluster.master.output.includes(said), { what: "it says so", deadlineMs: 20_000 });
  await cluster.master.stop();
  expect((await namesRemembered(cluster.db)).filter((name) => /^(heal|refill|walk) /.test(name))).toEqual([]);
});
