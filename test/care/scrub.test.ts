// Every copy is read within the time of -scrub, and what is damaged or lost is mended and counted.
import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { startCluster } from "../support/cluster";
import { filesAt } from "../support/files";
import { pathOf } from "../support/placement";
import { until } from "../support/until";
import { areHome, cameHome, storeAll } from "./home";

setDefaultTimeout(60_000);

/** Flips a bit of a copy; its length and its time stay. */
function flip(file: string): void {
  const bytes = readFileSync(file);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(file, bytes);
}

test.concurrent(
  "a flipped bit and a lost file are found and mended within the time of -scrub, without a reader",
  async () => {
    await using cluster = await startCluster({ flags: ["-scrub", "3s", "-grace", "0"] });
    const keys = ["/a", "/b", "/c", "/d", "/e", "/f"];
    await storeAll(cluster, keys);
    const said = (text: string) => until(() => cluster.master.output.includes(text), { what: text });
    const damage = () => {
      flip(filesAt(cluster.volumes[0]!.dir, pathOf("/b"))[0]!.file);
      rmSync(filesAt(cluster.volumes[1]!.dir, pathOf("/e"))[0]!.file);
      expect(areHome(cluster, keys)).toBe(false);
    };
    damage();
    await cameHome(cluster, keys);
    await said("scrub: 6 keys were read and compared: 1 missing, 1 damaged, 0 unknown; 2 keys were mended");
    damage();
    await cameHome(cluster, keys);
  },
);

test.concurrent("a scrub goes on where it was when the master is started again", async () => {
  await using cluster = await startCluster({ flags: ["-scrub", "5s", "-grace", "0"] });
  const keys = Array.from({ length: 12 }, (_, i) => `/key-${String(i).padStart(2, "0")}`);
  await storeAll(cluster, keys);
  const first = filesAt(cluster.volumes[0]!.dir, pathOf(keys[0]!))[0]!.file;
  const last = () => filesAt(cluster.volumes[0]!.dir, pathOf(keys.at(-1)!));
  rmSync(first);
  await until(() => areHome(cluster, keys), { what: "the first is looked at" });
  await cluster.startMaster();
  rmSync(first);
  rmSync(last()[0]!.file);
  await until(() => last().length > 0, { what: "the last is looked at" });
  expect(areHome(cluster, keys)).toBe(false);
  await cameHome(cluster, keys);
});
