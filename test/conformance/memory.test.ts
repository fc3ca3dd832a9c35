import { expect, setDefaultTimeout, test } from "bun:test";
import { statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { temporaryFolder } from "../support/folder";
import { pathOf } from "../support/placement";
import { isUnderWay } from "../support/under-way";
import { until } from "../support/until";

setDefaultTimeout(120_000);
const MB = 1024 * 1024;
/** About 75 MB are the program itself, on two threads; the rest is what waits to be collected. */
const BOUND_BYTES = 200 * MB;

/** Uploads so many zeros with curl and gives the status. */
async function upload(cluster: Cluster, key: string, bytes: number): Promise<number> {
  await using folder = temporaryFolder();
  const file = join(folder.path, "zeros");
  writeFileSync(file, "");
  truncateSync(file, bytes); // Sparse: it takes no room.
  const curl = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-T", file, cluster.master.url + key];
  return Number(await Bun.spawn(curl, { stdout: "pipe" }).stdout.text());
}

/** Sizes of the files of a key; they are too big to be read for it. */
async function sizes(cluster: Cluster, key: string): Promise<number[]> {
  const volumes = (await cluster.ask("GET", key)).headers.get("key-volumes")!.split(",");
  return volumes.map((name) => {
    const [address, subvolume] = name.split("/");
    const { dir } = cluster.volumes.find((volume) => volume.address === address)!;
    return statSync(join(dir, subvolume!, pathOf(key))).size;
  });
}

test("a value of 1 GB passes through the master to three volumes in less than 200 MB of memory", async () => {
  await using cluster = await startCluster();
  expect(await upload(cluster, "/gigabyte", 1024 * MB)).toBe(201);
  expect(cluster.master.peakRssBytes()).toBeLessThan(BOUND_BYTES);
  expect(await sizes(cluster, "/gigabyte")).toEqual(Array(3).fill(1024 * MB));
  const answer = await cluster.ask("GET", "/gigabyte");
  expect(answer.headers.get("content-md5")).toBe("cd573cfaace07e7949bc0c46028904ff"); // Of 2^30 zeros.
});

test("a slow volume slows the client down and does not fill the master's memory", async () => {
  await using cluster = await startCluster();
  let uploading = true;
  let pauses = 0;
  const uploaded = upload(cluster, "/slowly", 300 * MB).finally(() => (uploading = false));
  await until(() => isUnderWay(cluster.master.port, "/slowly"), { what: "the upload has begun" });
  while (uploading) {
    cluster.volumes[1]!.freeze();
    await Bun.sleep(150); // The length of the pause, not a wait for something to happen.
    cluster.volumes[1]!.thaw();
    await Bun.sleep(20);
    pauses++;
  }
  expect(await uploaded).toBe(201);
  expect(pauses).toBeGreaterThan(2);
  expect(cluster.master.peakRssBytes()).toBeLessThan(BOUND_BYTES);
  expect(await sizes(cluster, "/slowly")).toEqual(Array(3).fill(300 * MB));
});
