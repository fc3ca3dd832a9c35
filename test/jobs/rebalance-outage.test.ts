// Volumes are down while keys move.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { startCluster, type Cluster } from "../support/cluster";
import { remainsOn } from "../support/files";
import { copiesOf, copiesOn, homeOf, indexOf as volumeIndexOf } from "../support/copies";
import { placedOn } from "../support/placement";
import { until } from "../support/until";
import { valueOf } from "../support/values";
import { damage, fileOf } from "./damage";
import { indexOf, named, runJob, shelf, shelfOf, startJob, storeAll, type Stored } from "./job";
import { plainKeys } from "./keys";
import { withoutGrace } from "../support/grace";

setDefaultTimeout(60_000);
withoutGrace();
const deadlines = ["-voltimeout", "500ms", "-stalltimeout", "1s"];
const keys = [...plainKeys("key", 40), "/ünï/é"];
const DOWN = 3;

let cluster: Cluster;
let stored: Map<string | Uint8Array, Stored>;
let values: Record<string, string>;

beforeAll(async () => {
  cluster = await startCluster({ volumes: 4 });
  await cluster.startMaster([], cluster.addresses.slice(0, 3));
  stored = await storeAll(
    cluster,
    keys.map((key) => [key, valueOf(key, 2_000)]),
  );
  await cluster.ask("UNLINK", keys[0]!);
  await cluster.master.stop();
  values = await indexOf(cluster.db);
});
afterAll(() => cluster[Symbol.asyncDispose]());

const then = () => ({ volumes: cluster.addresses.slice(0, 3) });
const now = () => ({ volumes: cluster.addresses });
const needs = (key: string, volume: string) => placedOn(key, now()).some((target) => target.startsWith(volume));

/** Each value is still there: whole copies of it lie on at least as many volumes as before, or on all of its own. */
function expectNothingLost(): void {
  const found = shelf(cluster);
  const [atThen, atNow] = [shelfOf(stored, then()), shelfOf(stored, now())];
  for (const key of keys) {
    const of = (wanted: Record<string, string>) =>
      Object.entries(wanted).filter(([file]) => file.includes(Buffer.from(key).toString("base64")));
    const whole = (wanted: Record<string, string>) => of(wanted).every(([file, print]) => found[file] === print);
    expect([key, whole(atThen) || whole(atNow)]).toEqual([key, true]);
  }
}

/** What a volume that was away still has of keys that have moved is owed: the next master removes it, and nothing else. */
async function expectCleanedUp(layout: { volumes: string[] }): Promise<void> {
  await cluster.startMaster([], layout.volumes);
  const isHome = () => Bun.deepEquals(shelf(cluster), shelfOf(stored, layout));
  await until(isHome, { what: "old copies are removed", deadlineMs: 20_000 });
  expect(await cluster.master.stop()).toBe(0);
}

test.each(["dead", "frozen"])(
  "a new volume is %s: what belongs there fails and is named, the rest moves, nothing is lost",
  async (state) => {
    const volume = cluster.volumes[DOWN]!;
    if (state === "dead") await volume.kill();
    else volume.freeze();
    const stuck = keys.filter((key) => needs(key, volume.address));
    const { exitCode, last, stderr } = await runJob(cluster, "rebalance", { flags: deadlines });
    if (state === "dead") await volume.restart();
    else volume.thaw();
    expect([exitCode, last]).toEqual([
      1,
      expect.stringMatching(new RegExp(`^rebalanced ${keys.length} keys: .* ${stuck.length} failed$`)),
    ]);
    const lines = stderr.trimEnd().split("\n");
    expect(lines.pop()).toMatch(new RegExp(`^mkv: ${stuck.length} keys could not be rebalanced`));
    expect(lines.map((line) => line.match(/^"([^"]+)": .*$/)?.[1]).sort()).toEqual(stuck.sort());
    for (const line of lines) expect(line).toContain(volume.address);
    expectNothingLost();
    for (const key of stuck) expect((await indexOf(cluster.db))[named(key)]).toBe(values[named(key)]!);
  },
);

test("an old volume is down: the others' keys move, its own are brought home when it is back", async () => {
  const volume = cluster.volumes[0]!;
  await volume.kill();
  const { exitCode, stderr } = await runJob(cluster, "rebalance", { flags: deadlines });
  expect([exitCode, stderr.includes(volume.address)]).toEqual([1, true]);
  await volume.restart();
  expectNothingLost();
});

test("with all volumes back, the next run brings everything home: exit code 0", async () => {
  const { exitCode, last } = await runJob(cluster, "rebalance");
  expect([exitCode, last]).toEqual([0, expect.stringMatching(/ 0 failed$/)]);
  expect(shelf(cluster)).toMatchObject(shelfOf(stored, now()));
  const records = Object.entries(values).map(([key, record]) => {
    const [head] = record.match(/^(DELETED)?HASH.{32}/)!;
    return [key, head + placedOn(Buffer.from(key, "latin1"), now()).join(",")];
  });
  expect(await indexOf(cluster.db)).toEqual(Object.fromEntries(records));
  await expectCleanedUp(now());
});

test("all volumes are down: every key fails, nothing changes", async () => {
  const [files, index] = [shelf(cluster), await indexOf(cluster.db)];
  for (const volume of cluster.volumes) await volume.kill();
  const { exitCode, last } = await runJob(cluster, "rebalance", { flags: [...deadlines, "-replicas", "2"] });
  expect([exitCode, last]).toEqual([1, `rebalanced ${keys.length} keys: 0 moved, 0 in place, ${keys.length} failed`]);
  for (const volume of cluster.volumes) await volume.restart();
  expect([shelf(cluster), await indexOf(cluster.db)]).toEqual([files, index]);
});

test("a volume that dies in the middle: what it takes along fails, nothing is lost, the next run ends the work", async () => {
  const volumes = cluster.addresses.slice(0, 3);
  await using job = startJob(cluster, "rebalance", { volumes, flags: deadlines });
  const leaving = cluster.volumes[DOWN]!;
  const count = () => remainsOn(leaving.dir).length;
  const all = count();
  await until(() => count() < all || job.ended, { what: "the first keys have moved" });
  await cluster.volumes[1]!.kill();
  await job.exited;
  await cluster.volumes[1]!.restart();
  const { exitCode, stderr } = await runJob(cluster, "rebalance", { volumes });
  const slow = /^\S+ warn what unfinished work left of \d+ keys? waits: localhost:\d+ has come back just now\n/;
  expect([exitCode, stderr.replace(slow, "")]).toEqual([0, ""]);
  expect(shelf(cluster)).toMatchObject(shelfOf(stored, { volumes }));
  await expectCleanedUp({ volumes });
});

test("without a hash nothing is decided while a volume is down that may have the only whole copy", async () => {
  const flags = ["-replicas", "2", "-md5sum=false", "-voltimeout", "500ms"];
  await using other = await startCluster({ volumes: 3, flags });
  const two = { volumes: other.addresses.slice(0, 2), replicas: 2 };
  await other.startMaster(flags, two.volumes);
  const leaves = (name: string) => !homeOf(other, name, 2).includes(placedOn(name, two)[1]!);
  const key = plainKeys("torn", 1_000).find(leaves)!;
  await other.store(key, valueOf(key));
  await other.master.stop();
  const [staying, leaving] = placedOn(key, two);
  damage(fileOf(other, key, staying!), "shortened");
  const down = other.volumes[volumeIndexOf(other, leaving!)]!;
  await down.kill();
  const { exitCode, stderr } = await runJob(other, "rebalance", { flags });
  expect([exitCode, stderr.includes(down.address)]).toEqual([1, true]);
  await down.restart();
  expect((await runJob(other, "rebalance", { flags })).exitCode).toBe(0);
  expect(copiesOf(other, key)).toEqual(copiesOn(homeOf(other, key, 2), valueOf(key)));
});
