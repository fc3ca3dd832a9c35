// A disk that is mounted at the place of the index itself: no other index can be put there. It takes root to mount one.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, readdirSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { startCluster } from "../support/cluster";
import { smallDisk, whyNoDisk } from "../support/disk";
import { runMkv } from "../support/master";
import { runJob } from "./job";

setDefaultTimeout(60_000);
const testOnDisk = test.concurrent.skipIf(whyNoDisk() !== undefined);

testOnDisk("an index that is a mount point is served, and no rebuild begins there that could not end", async () => {
  await using disk = smallDisk(8_000_000);
  await using cluster = await startCluster({ db: disk.path });
  expect(cluster.master.output).toContain(`${disk.path} is a mount point: no rebuild or import can be made there`);
  await cluster.store("/served");
  await cluster.master.stop();
  const link = join(dirname(disk.path), "link");
  symlinkSync(disk.path, link);
  for (const db of [disk.path, `${disk.path}/`, link]) {
    const { exitCode, stderr } = await runJob(cluster, "rebuild", { db });
    const line = `mkv: ${disk.path} is a mount point, where no index can be put: name a folder in it as -db\n`;
    expect([exitCode, stderr]).toEqual([1, line]);
  }
  await cluster.startMaster();
  expect((await cluster.ask("GET", "/served")).status).toBe(302);
});

testOnDisk("no index is put at a mount point, but in a folder there", async () => {
  await using disk = smallDisk(8_000_000);
  await using cluster = await startCluster();
  const backup = (await runMkv(["-master", cluster.master.url, "export"])).stdout;
  await cluster.master.stop();
  const ask = (db: string, ...words: string[]) =>
    runMkv(["-db", db, "-volumes", cluster.addresses.join(","), "-port", "0", ...words], {
      stdin: Buffer.from(backup),
    });
  for (const command of ["rebuild", "import"]) {
    const { exitCode, stderr } = await ask(disk.path, command);
    expect([command, exitCode, stderr]).toEqual([command, 1, expect.stringContaining(" is a mount point, ")]);
    expect(readdirSync(disk.path)).toEqual([]);
  }
  const inIt = join(disk.path, "index");
  expect(await ask(inIt, "import")).toMatchObject({ exitCode: 0 });
  expect(await ask(inIt, "rebuild")).toMatchObject({ exitCode: 0 });
  expect(readFileSync(join(inIt, "CURRENT"), "utf8")).toStartWith("MANIFEST");
});
