// A disk is full: real nginx on a small disk of its own, which takes root to mount.
import { expect, setDefaultTimeout, test } from "bun:test";
import { bigValue } from "../support/big";
import { Cluster } from "../support/cluster";
import { copiesOf, copiesOn, homeOf, keyFirstOn } from "../support/copies";
import { smallDisk, whyNoDisk, type Disk } from "../support/disk";
import { temporaryFolder } from "../support/folder";
import { follow } from "../support/http";
import { until } from "../support/until";
import { valueOf } from "../support/values";
import { startVolume } from "../support/volume";
import { join } from "node:path";
import { withoutGrace } from "../support/grace";
import { holding } from "../support/holding";

setDefaultTimeout(90_000);
withoutGrace();
const why = whyNoDisk();
if (why) console.log(`skipped: a full disk, since none can be mounted here (${why})`);
const testOnDisk = test.skipIf(why !== undefined);

const DISK_BYTES = 8_000_000;
const TIGHT = 0; // The volume on the small disk.

type Tight = { cluster: Cluster; disk: Disk } & AsyncDisposable;

/** A store whose first volume lies on a small disk. */
async function startTight(volumes: number, flags: string[]): Promise<Tight> {
  return await holding(async (held) => {
    const folder = held.use(temporaryFolder());
    const disk = held.use(smallDisk(DISK_BYTES));
    const started = [held.use(await startVolume({ dir: disk.path }))];
    while (started.length < volumes) started.push(held.use(await startVolume()));
    const cluster = new Cluster(started, join(folder.path, "index"), flags, undefined, held);
    await cluster.startMaster();
    return { cluster, disk, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
  });
}

const sizes: [string, number, number][] = [
  ["a small value on a disk without a free byte", 1_000, 0],
  ["a value larger than what is free", 3_000_000, 1_000_000],
];

for (const [what, bytes, freeBytes] of sizes) {
  testOnDisk(`${what}, three volumes: refused, and nothing of it is kept`, async () => {
    await using tight = await startTight(3, []);
    const { cluster, disk } = tight;
    await disk.fill(freeBytes);
    const { status, headers } = await cluster.ask("PUT", "/full", { body: bigValue("full", bytes) });
    expect([status, Number(headers.get("retry-after")) > 0]).toEqual([503, true]);
    expect((await cluster.ask("GET", "/full")).status).toBe(404);
    const clean = async () => cluster.remains().length === 0 && (await cluster.keys("unlinked")).length === 0;
    await until(clean, { what: "nothing is left", deadlineMs: 20_000 });
    disk.clear();
    expect((await cluster.ask("PUT", "/full", { body: bigValue("full", bytes) })).status).toBe(201);
    expect(copiesOf(cluster, "/full")).toEqual(copiesOn(homeOf(cluster, "/full"), bigValue("full", bytes)));
  });

  testOnDisk(`${what}, -minreplicas 2 of three: the others hold it, and it comes home`, async () => {
    await using tight = await startTight(3, ["-minreplicas", "2"]);
    await expectDetour(tight, { bytes, freeBytes, copies: 2 });
  });

  testOnDisk.each([[[]], [["-minreplicas", "2"]]])(
    `${what}, five volumes: the next one takes its copy, and it comes home (flags %p)`,
    async (flags) => {
      await using tight = await startTight(5, flags);
      await expectDetour(tight, { bytes, freeBytes, copies: 3 });
    },
  );
}

async function expectDetour(
  { cluster, disk }: Tight,
  { bytes, freeBytes, copies }: { bytes: number; freeBytes: number; copies: number },
): Promise<void> {
  const key = keyFirstOn(cluster, TIGHT, "detour");
  const value = bigValue(key, bytes);
  await disk.fill(freeBytes);
  expect((await cluster.ask("PUT", key, { body: value })).status).toBe(201);
  const found = await cluster.ask("GET", key);
  const volumes = homeOf(cluster, key, cluster.volumes.length).slice(1, 1 + copies);
  expect([found.headers.get("key-volumes"), found.headers.get("key-balance")]).toEqual([
    volumes.join(","),
    "unbalanced",
  ]);
  expect((await follow(found)).body.equals(value)).toBe(true);
  const only = (volumes: string[]) => () =>
    Bun.deepEquals(copiesOf(cluster, key), copiesOn(volumes, value)) && cluster.remains().length === volumes.length;
  await until(only(volumes), { what: "nothing is left on the full disk", deadlineMs: 20_000 });
  disk.clear();
  const moved = async () => (await cluster.ask("POST", `${key}?rebalance`)).status === 204;
  await until(moved, { what: "the key is brought home", deadlineMs: 20_000 });
  expect((await cluster.ask("GET", key)).headers.get("key-balance")).toBe("balanced");
  await until(only(homeOf(cluster, key)), { what: "the key is at home", deadlineMs: 20_000 });
}

testOnDisk("a full disk still serves what it holds and lets it be deleted", async () => {
  await using tight = await startTight(3, ["-minreplicas", "2"]);
  const { cluster, disk } = tight;
  const key = keyFirstOn(cluster, TIGHT, "kept");
  await cluster.store(key, "kept");
  await disk.fill(0);
  await cluster.store(keyFirstOn(cluster, TIGHT, "noticed"), valueOf("noticed", 10_000));
  const served = new Set<string>();
  const all = async () => {
    const found = await cluster.ask("GET", key);
    expect((await follow(found)).text).toBe("kept");
    return served.add(new URL(found.headers.get("location")!).host).size === 3;
  };
  await until(all, { what: "each volume serves the value, the full one too" });
  expect((await cluster.ask("DELETE", key)).status).toBe(204);
  expect(copiesOf(cluster, key)).toEqual({});
});
