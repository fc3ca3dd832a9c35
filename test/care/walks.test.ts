// Walks over all keys fill disks that were adopted, and read every copy within the time of -scrub.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startOperated } from "../admin/operated";
import { runJob } from "../jobs/job";
import { namesRemembered } from "../jobs/remembered";
import { type Cluster, startCluster } from "../support/cluster";
import { sampleOf } from "../support/exposition";
import { filesAt, filesOn } from "../support/files";
import { startGatedCluster } from "../support/gated";
import { pathOf } from "../support/placement";
import { until } from "../support/until";
import { md5Hex, valueOf } from "../support/values";
import { areHome, cameHome, storeAll } from "./home";

setDefaultTimeout(120_000);

/** Flips a bit of a copy; its length and its time stay. */
function flip(file: string): void {
  const bytes = readFileSync(file);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(file, bytes);
}

test.concurrent(
  "a flipped bit and a lost file are found, counted and mended within the time of -scrub, without a reader",
  async () => {
    await using store = await startOperated({ flags: ["-scrub", "3s", "-grace", "0"] });
    const { cluster } = store;
    const keys = ["/a", "/b", "/c", "/d", "/e", "/f"];
    await storeAll(cluster, keys);
    for (const times of [1, 2]) {
      flip(filesAt(cluster.volumes[0]!.dir, pathOf("/b"))[0]!.file);
      rmSync(filesAt(cluster.volumes[1]!.dir, pathOf("/e"))[0]!.file);
      expect(areHome(cluster, keys)).toBe(false);
      await cameHome(cluster, keys);
      const isCounted = async () => {
        const metrics = await store.metrics();
        const found = (kind: string) => sampleOf(metrics, `mkv_scrub_findings_total{kind="${kind}"}`);
        const counts = [found("missing"), found("damaged"), sampleOf(metrics, "mkv_healed_total")];
        return Bun.deepEquals(counts, [times, times, 2 * times]);
      };
      await until(isCounted, { what: "all of it is counted" });
    }
    const scrubbed = async () => sampleOf(await store.metrics(), "mkv_scrubbed_timestamp_seconds") > 1.7e9;
    await until(scrubbed, { what: "a scrub has come to its end" });
    const said =
      /scrub: all copies of \d+ keys? were compared: [1-9] missing, [1-9] damaged, 0 unknown; [1-9] keys mended/;
    await until(() => said.test(cluster.master.output), { what: "it says what it has mended" });
  },
);

test.concurrent("a copy that cannot be read, on a volume that answers, is written anew by a scrub", async () => {
  await using cluster = await startGatedCluster({ flags: ["-scrub", "2s", "-grace", "0"] });
  await storeAll(cluster, ["/key"]);
  const { file } = filesAt(cluster.volumes[0]!.dir, pathOf("/key"))[0]!;
  flip(file); // A copy that is whole again shows that it was written.
  cluster.gates[0]!.breakOff(file.slice(cluster.volumes[0]!.dir.length));
  await cameHome(cluster, ["/key"]);
  cluster.openAll();
  const said = /scrub: all copies of 1 key were compared: 0 missing, 0 damaged, [1-9] unknown; [1-9] keys? mended/;
  await until(() => said.test(cluster.master.output), { what: `it says so: ${cluster.master.output}` });
});

test.concurrent("copies that agree outvote their record, and where none is good nothing is touched", async () => {
  await using cluster = await startCluster({ flags: ["-scrub", "2s", "-grace", "0"] });
  await storeAll(cluster, ["/agree", "/differ"]);
  const copies = (key: string) => cluster.volumes.map(({ dir }) => filesAt(dir, pathOf(key))[0]!.file);
  const agreed = valueOf("another");
  for (const file of copies("/agree")) writeFileSync(file, agreed);
  const differing = copies("/differ").map((file, i) => {
    writeFileSync(file, valueOf(i));
    return [file, md5Hex(valueOf(i))];
  });
  const told = async () => (await cluster.ask("GET", "/agree")).headers.get("content-md5") === md5Hex(agreed);
  await until(told, { what: "the record has what the copies agree in" });
  const said = "scrub: all copies of 2 keys were compared: 0 missing, 3 damaged, 0 unknown; 0 keys mended";
  await until(() => cluster.master.output.includes(said), { what: said });
  const why = /failed, such as "\/differ": every copy is damaged, on .*: verify -md5 -repair sets them aside/;
  await until(() => why.test(cluster.master.output), { what: "it says what fails" });
  expect(copies("/differ").map((file) => [file, md5Hex(readFileSync(file))])).toEqual(differing);
});

test.concurrent("a value that is being replaced is no finding of a scrub", async () => {
  await using cluster = await startGatedCluster({ flags: ["-scrub", "2s"] });
  await cluster.store("/key", "old");
  const [gate] = cluster.gates;
  gate!.hold("MOVE", "arrival");
  const replaced = cluster.ask("PUT", "/key?replace", { body: "new" });
  await gate!.holds("MOVE");
  const before = cluster.master.output.length;
  const ended = () => cluster.master.output.slice(before).match(/scrub: all copies of 1 key .*/g) ?? [];
  await until(() => ended().length === 2, { what: "a scrub that began meanwhile has come to its end" });
  for (const line of ended()) expect(line).toContain("0 missing, 0 damaged, 0 unknown");
  cluster.openAll();
  await replaced;
});

test.concurrent("a scrub goes on where it was when the master is started again", async () => {
  await using cluster = await startCluster({ flags: ["-scrub", "5s", "-grace", "0"] });
  const keys = Array.from({ length: 12 }, (_, i) => `/key-${String(i).padStart(2, "0")}`);
  await storeAll(cluster, keys);
  const [first, last] = [keys[0]!, keys.at(-1)!].map((key) => filesAt(cluster.volumes[0]!.dir, pathOf(key))[0]!.file);
  rmSync(first!);
  await cameHome(cluster, [keys[0]!]);
  await cluster.master.stop();
  rmSync(first!);
  rmSync(last!);
  await cluster.startMaster();
  await cameHome(cluster, keys);
  expect(statSync(last!).ctimeMs).toBeLessThan(statSync(first!).ctimeMs); // Else it would have begun anew.
  const said = "scrub: all copies of 12 keys were compared: 2 missing, 0 damaged, 0 unknown; 2 keys mended";
  await until(() => cluster.master.output.includes(said), { what: `it counts on: ${cluster.master.output}` });
});

test.concurrent("a scrub that could not ask a volume says so, and does not count as whole", async () => {
  await using store = await startOperated({ flags: ["-scrub", "3s"] });
  const { cluster } = store;
  const compared = () => cluster.master.output.match(/scrub: all copies of.*/g) ?? [];
  await cluster.volumes[0]!.kill();
  await until(async () => (await store.status()).volumes[0]!.state === "down", { what: "it is down" });
  await cluster.volumes[0]!.restart();
  await cluster.recovered();
  await storeAll(cluster, ["/a", "/b"]);
  await cluster.volumes[0]!.kill();
  const but =
    "scrub: all copies of 2 keys were compared, but for 2 that could not be read: 0 missing, 0 damaged, 2 unknown";
  await until(() => cluster.master.output.includes(but), { what: but, deadlineMs: 20_000 });
  expect(compared().map((line) => line.includes("but for"))).not.toContain(false);
  expect(sampleOf(await store.metrics(), "mkv_scrubbed_timestamp_seconds")).toBe(0);
  await cluster.volumes[0]!.restart();
  const scrubbed = async () => sampleOf(await store.metrics(), "mkv_scrubbed_timestamp_seconds") > 1.7e9;
  await until(scrubbed, { what: "one that could ask all counts", deadlineMs: 20_000 });
});

test.concurrent("a scrub of a store without keys is none", async () => {
  await using cluster = await startCluster({ flags: ["-scrub", "2s"] });
  await cluster.store("/key");
  await until(() => cluster.master.output.includes("scrub: all copies of "), { what: "a scrub has ended" });
  expect(cluster.master.output).not.toContain("scrub: all copies of 0 keys");
});

const oneDisk = ["-subvolumes", "1"];

/** Empties the first volume, whose only disk is its folder, while no master runs. */
async function emptyFirst(cluster: Cluster): Promise<void> {
  await cluster.master.stop();
  const { dir } = cluster.volumes[0]!;
  const inside = readdirSync(dir).filter((name) => /^([0-9a-f]{2}|mkv)$/.test(name));
  for (const name of inside) rmSync(join(dir, name), { recursive: true });
  await cluster.startMaster();
}

async function adoptFirst(cluster: Cluster): Promise<void> {
  const adopt = { flags: oneDisk, words: [cluster.addresses[0]!], master: cluster.master.url };
  expect(await runJob(cluster, "adopt", adopt)).toMatchObject({ exitCode: 0 });
}

async function saysFilled(cluster: Cluster): Promise<void> {
  const said = `heal: ${cluster.addresses[0]!} is filled: `;
  await until(() => cluster.master.output.includes(said), { what: said, deadlineMs: 20_000 });
}

test.concurrent("keys that an adopted volume does not answer for are looked at again, and it is filled", async () => {
  await using cluster = await startGatedCluster({ flags: [...oneDisk, "-heal", "20", "-grace", "0"] });
  const [{ dir }] = cluster.volumes as [(typeof cluster.volumes)[0]];
  const keys = Array.from({ length: 40 }, (_, i) => `/key-${i}`);
  await storeAll(cluster, keys);
  await emptyFirst(cluster);
  const passedOver = 3; // Of the first four, which are looked at at once.
  cluster.gates[0]!.hold("HEAD", "arrival", { times: passedOver });
  await adoptFirst(cluster);
  await cluster.gates[0]!.holds("HEAD", passedOver);
  await saysFilled(cluster);
  const [, healed, left] = /is filled: (\d+) keys healed, (\d+) left/.exec(cluster.master.output)!;
  expect(Number(healed) + Number(left)).toBe(keys.length);
  await until(() => filesOn(dir).length === keys.length, { what: "all copies are back" });
});

test.concurrent(
  "an emptied volume is filled after mkv adopt, though the master is killed in the middle of it",
  async () => {
    const bytes = 500_000;
    await using store = await startOperated({ flags: [...oneDisk, "-heal", "1"] });
    const { cluster } = store;
    const [{ dir }] = cluster.volumes as [(typeof cluster.volumes)[0]];
    const keys = Array.from({ length: 6 }, (_, i) => `/key-${i}`);
    await storeAll(cluster, keys, bytes);
    await emptyFirst(cluster);
    await adoptFirst(cluster);
    const unfilled = `${cluster.addresses[0]!} was adopted, and is not filled yet`;
    await until(async () => (await store.status()).problems.includes(unfilled), { what: "that is a problem" });
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
    await saysFilled(cluster);
    expect(cluster.master.output.split("is filled: ")[0]).not.toContain("0 left");
    await until(async () => (await store.status()).problems.length === 0, { what: "all is well" });
    await cluster.master.stop();
    expect((await namesRemembered(cluster.db)).filter((name) => /^(heal|refill|walk) /.test(name))).toEqual([]);
  },
);
