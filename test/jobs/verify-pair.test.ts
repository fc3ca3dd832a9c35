// With two replicas there is no majority among the copies.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { startCluster, type Cluster } from "../support/cluster";
import { copiesOf, homeOf } from "../support/copies";
import { valueOf } from "../support/values";
import { damage, fileOf, type Damage } from "./damage";
import { runJob } from "./job";
import { countsOf } from "./verified";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const flags = ["-replicas", "2"];
let cluster: Cluster;

beforeAll(async () => {
  cluster = await startCluster({ volumes: 2, flags });
  await cluster.store("/hashed", valueOf("/hashed"));
  await cluster.startMaster([...flags, "-md5sum=false"]);
  await cluster.store("/unhashed", valueOf("/unhashed"));
  await cluster.master.stop();
});
afterAll(() => cluster[Symbol.asyncDispose]());

const told: [key: string, how: Damage, depth: string[]][] = [
  ["/hashed", "shortened", []],
  ["/hashed", "lengthened", []],
  ["/hashed", "emptied", []],
  ["/hashed", "flipped", ["-md5"]],
  ["/hashed", "lengthened", ["-md5"]],
  ["/unhashed", "shortened", []],
  ["/unhashed", "emptied", ["-md5"]],
  ["/unhashed", "missing", ["-md5"]],
];

test.each(told)(
  "of two copies of %s one is %s: the good one is known, and heals the other (%p)",
  async (key, how, depth) => {
    for (const place of [0, 1]) {
      const good = copiesOf(cluster, key);
      damage(fileOf(cluster, key, homeOf(cluster, key, 2)[place]!), how);
      const { exitCode } = await runJob(cluster, "verify", { flags: [...flags, ...depth, "-repair"] });
      const copies = copiesOf(cluster, key);
      for (const volume of homeOf(cluster, key, 2)) writeFileSync(fileOf(cluster, key, volume), valueOf(key)); // For the next.
      expect([exitCode, copies]).toEqual([0, good]);
    }
  },
);

test("two copies that differ, and no hash: nobody can tell which is good, and both stay", async () => {
  const good = copiesOf(cluster, "/unhashed");
  const file = fileOf(cluster, "/unhashed", homeOf(cluster, "/unhashed", 2)[1]!);
  damage(file, "flipped");
  const before = copiesOf(cluster, "/unhashed");
  for (const depth of [["-md5"], ["-md5", "-repair"]]) {
    const { exitCode, last } = await runJob(cluster, "verify", { flags: [...flags, ...depth] });
    expect([exitCode, countsOf(last)]).toEqual([1, countsOf({ keys: 2, files: 4, damaged: 2 })]);
    expect(copiesOf(cluster, "/unhashed")).toEqual(before);
  }
  damage(file, "flipped");
  expect(copiesOf(cluster, "/unhashed")).toEqual(good);
});
