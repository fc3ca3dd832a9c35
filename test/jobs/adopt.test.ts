// A disk is replaced by an empty one, or is not mounted: nobody can tell but the operator, who says so with `mkv adopt`.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { startCluster, type Cluster } from "../support/cluster";
import { homeOf, indexOf as volumeIndexOf } from "../support/copies";
import { follow } from "../support/http";
import { runMkv } from "../support/master";
import { freePort } from "../support/ports";
import { valueOf } from "../support/values";
import { runJob, shelf, shelfOf, storeAll, type Command } from "./job";
import { plainKeys } from "./keys";
import { countsOf } from "./verified";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const keys = plainKeys("key", 40);

/** The folder of a disk as records name it. */
function folderOf(cluster: Cluster, disk: string): string {
  return join(cluster.volumes[volumeIndexOf(cluster, disk)]!.dir, disk.split("/")[1]!);
}

function empty(folder: string): void {
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
}

test.concurrent.each(["-db", "-master"])(
  "an emptied disk is left alone, and its values are read elsewhere; adopted (%s), it is filled by a rebalance",
  async (how) => {
    const port = String(await freePort());
    await using cluster = await startCluster({ volumes: 4, flags: ["-adminport", port] });
    const stored = await storeAll(
      cluster,
      keys.map((key) => [key, valueOf(key)]),
    );
    await cluster.master.stop();
    const [disk] = homeOf(cluster, keys[0]!) as [string];
    const belongs = (key: string) => homeOf(cluster, key).includes(disk);
    const concerned = keys.filter(belongs);
    empty(folderOf(cluster, disk));
    const advice = `if it was replaced, run "mkv adopt ${disk}"`;

    await cluster.startMaster();
    expect(cluster.master.output).toContain(advice);
    expect((await runMkv(["-admin", `http://localhost:${port}`, "status"])).stdout).toContain(advice);
    for (const key of concerned) {
      const answer = await follow(await cluster.ask("GET", key));
      expect([key, answer.status, answer.body.equals(valueOf(key))]).toEqual([key, 200, true]);
    }
    const run = async (command: Command, words: string[] = []) => {
      if (how === "-db" && !cluster.master.process.ended) await cluster.master.stop();
      return await runJob(cluster, command, { words, ...(how === "-master" && { master: cluster.master.url }) });
    };
    const verified = await run("verify");
    expect([verified.exitCode, countsOf(verified.last)]).toEqual([
      1,
      countsOf({ keys: keys.length, files: 3 * keys.length - concerned.length, unknown: concerned.length }),
    ]);
    if (how === "-db") await cluster.startMaster();
    const late = plainKeys("late", 1_000).filter(belongs).slice(0, 4);
    for (const [key, value] of await storeAll(
      cluster,
      late.map((key) => [key, valueOf(key)]),
    ))
      stored.set(key, value);

    const refused = await run("rebalance");
    const failed = `${concerned.length + late.length} failed`;
    expect([refused.exitCode, refused.last]).toEqual([1, expect.stringContaining(failed)]);
    expect(refused.stderr).toContain(advice);
    expect(readdirSync(folderOf(cluster, disk))).toEqual([]);

    const adopted = await run("adopt", [disk]);
    expect([adopted.exitCode, adopted.stdout]).toEqual([0, expect.stringContaining(disk)]);
    const rebalanced = await run("rebalance");
    expect([rebalanced.exitCode, rebalanced.last]).toEqual([0, expect.stringMatching(/ 0 failed$/)]);
    expect(shelf(cluster)).toEqual(shelfOf(stored, { volumes: cluster.addresses }));
    expect(countsOf((await run("verify")).last)).toEqual(countsOf({ keys: stored.size, files: 3 * stored.size }));
    await cluster.startMaster();
    expect(cluster.master.output).not.toContain("is not the disk it was");
  },
);

test.concurrent("a disk that is back after all is the one it was, without a word from anybody", async () => {
  await using cluster = await startCluster();
  await cluster.store("/key", valueOf("/key"));
  await cluster.master.stop();
  const [disk] = homeOf(cluster, "/key") as [string];
  const volume = cluster.volumes[volumeIndexOf(cluster, disk)]!;
  const [folder, away] = [folderOf(cluster, disk), join(volume.dir, "away")];
  expect(await Bun.spawn(["mv", folder, away]).exited).toBe(0);
  expect((await runJob(cluster, "verify")).last).toContain(" 0 missing, 0 damaged, 1 unknown, ");
  expect(await Bun.spawn(["mv", away, folder]).exited).toBe(0);
  const { exitCode, output } = await runJob(cluster, "verify");
  expect([exitCode, output]).toEqual([0, expect.stringMatching(/^verified 1 key and 3 files: /)]);
});

test.concurrent("what is no disk of the store is not adopted: exit code 1 and one reason", async () => {
  await using cluster = await startCluster({ volumes: 1, flags: ["-replicas", "1"] });
  const [address] = cluster.addresses as [string];
  for (const name of [`${address}/sv99`, "localhost:1", address.replace("localhost", "nowhere")]) {
    const { exitCode, stdout, stderr } = await runJob(cluster, "adopt", {
      flags: ["-replicas", "1"],
      master: cluster.master.url,
      words: [name],
    });
    expect([exitCode, stdout, stderr]).toEqual([
      1,
      "",
      expect.stringMatching(new RegExp(`^mkv: ${name} is not one of [^\n]+\n$`)),
    ]);
  }
});

test.concurrent.each(["lost", "damaged"])(
  "where the index is %s, a disk that was replaced is adopted first",
  async (how) => {
    await using cluster = await startCluster({ volumes: 3, flags: ["-replicas", "2"] });
    await cluster.store("/kept");
    const disk = homeOf(cluster, "/kept")[0]!;
    await cluster.master.stop();
    empty(folderOf(cluster, disk));
    if (how === "lost") rmSync(cluster.db, { recursive: true });
    else rmSync(join(cluster.db, "CURRENT"));
    const job = (command: Command, words: string[] = []) =>
      runJob(cluster, command, { words, flags: ["-replicas", "2"] });
    expect(await job("rebuild")).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining(`run "mkv adopt ${disk}"`),
    });
    expect(await job("adopt", [disk])).toMatchObject({ exitCode: 0 });
    expect(await job("rebuild")).toMatchObject({ exitCode: 0 });
    await cluster.startMaster();
    expect((await follow(await cluster.ask("GET", "/kept"))).text).toBe("value of /kept");
  },
);
