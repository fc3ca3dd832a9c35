// A volume of another store, named by mistake, is not used: what either store has acknowledged stays as it is.
import { expect, setDefaultTimeout, test } from "bun:test";
import { runJob } from "../jobs/job";
import { startCluster } from "../support/cluster";
import { follow } from "../support/http";
import { Memory, heard, watch, write } from "./watch";
import { startVolume } from "../support/volume";

setDefaultTimeout(60_000);
const said = heard();
const flags = ["-replicas", "1"];

test("a store that is given another one's volume writes nothing there, and a rebuild takes no value from it", async () => {
  await using one = await startCluster({ volumes: 1, flags });
  await using other = await startCluster({ volumes: 2, flags });
  const keys = Array.from({ length: 8 }, (_, i) => `/key${i}`);
  for (const key of keys) await other.store(key, "the other's");
  await one.store("/own");
  const stranger = other.addresses[0]!;
  const both = [...one.addresses, stranger];
  await one.startMaster(flags, both);
  const line = `${stranger} is new, and has files and an id, maybe of another store: if it belongs to this store, run "mkv adopt ${stranger}"`;
  expect(one.master.output).toContain(line);
  for (const key of keys) await one.store(key, "one's own");
  for (const key of keys) expect((await follow(await other.ask("GET", key))).text).toBe("the other's");
  await one.master.stop();
  const rebuilt = await runJob(one, "rebuild", { volumes: both, flags });
  expect([rebuilt.exitCode, rebuilt.stderr]).toEqual([1, expect.stringContaining(line)]);
});

test("what has had another name, or is empty, is no stranger", async () => {
  await using old = await startVolume();
  await using added = await startVolume();
  const memory = new Memory();
  await watch([old.address], { memory }).identity.check();
  write(old, "sv00/ab/cd/value", "its own");
  const renamed = old.address.replace("localhost", "127.0.0.1");
  await watch([added.address]).identity.check(); // It has been of a store before, and was emptied.
  const { identity, volumes } = watch([renamed, added.address], { memory });
  await identity.check();
  expect([renamed, added.address].map((name) => volumes.health.isForeign(name))).toEqual([false, false]);
  expect([memory.get(renamed), said]).toEqual([memory.get(old.address), []]);
});
