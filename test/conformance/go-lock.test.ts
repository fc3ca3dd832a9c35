// One program at a time has an index, be it this one or the Go program, whose LevelDB locks the file LOCK by flock(2).
import { expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { startCluster } from "../support/cluster";
import { runMkv } from "../support/master";
import { RunningProcess } from "../support/process";
import { until } from "../support/until";

setDefaultTimeout(60_000);

/** Opens an index as the Go program does, as far as others can tell. */
async function openAsGo(db: string): Promise<AsyncDisposable> {
  const held = `${db}-held`;
  const hold = `flock -xn ${join(db, "LOCK")} sh -c 'touch ${held}; exec sleep 600'`;
  const holder = new RunningProcess({ command: ["sh", "-c", `exec ${hold}`] });
  await until(() => existsSync(held), { what: "the index is open" });
  return holder;
}

/** Whether the Go program could open the index. */
const isFreeForGo = async (db: string) =>
  (await Bun.spawn(["flock", "-xn", join(db, "LOCK"), "true"], { stderr: "ignore" }).exited) === 0;

const contentsOf = (db: string) =>
  readdirSync(db)
    .sort()
    .map((name) => [name, readFileSync(join(db, name)).toHex()]);

test("no server and no job opens an index that the Go program has open, and nothing of it changes", async () => {
  await using cluster = await startCluster();
  await cluster.store("/key");
  await cluster.master.stop();
  const before = contentsOf(cluster.db);
  const volumes = ["-volumes", cluster.addresses.join(",")];
  {
    await using _ = await openAsGo(cluster.db);
    for (const command of ["server", "rebuild", "rebalance", "verify", "adopt", "export"]) {
      const flags = command === "export" ? [] : volumes;
      const port = command === "server" ? ["-port", "0"] : [];
      const words = command === "adopt" ? [cluster.addresses[0]!] : [];
      const args = ["-db", cluster.db, ...flags, ...port, command, ...words];
      const { exitCode, stderr } = await runMkv(args);
      const inUse = expect.stringMatching(/^mkv: [^\n]* in use [^\n]*\n$/);
      expect([command, exitCode, stderr]).toEqual([command, 1, inUse]);
      expect(contentsOf(cluster.db)).toEqual(before);
    }
  }
  await cluster.startMaster();
  expect(await cluster.keys("list")).toEqual(["/key"]);
});

test("the Go program is kept out of an index that a master has open, a new one too, and not an instant longer", async () => {
  await using cluster = await startCluster();
  expect(await isFreeForGo(cluster.db)).toBe(false);
  await cluster.store("/key");
  await cluster.master.stop();
  expect(await isFreeForGo(cluster.db)).toBe(true);
  await cluster.startMaster();
  expect(await isFreeForGo(cluster.db)).toBe(false);
  await cluster.master.kill();
  expect(await isFreeForGo(cluster.db)).toBe(true);
});
