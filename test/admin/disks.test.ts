// How full disks are is known where a volume says so, and a full one is told of, whoever found it out.
import { expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { startMkvVolume } from "../durability/mkv-volume";
import { Cluster } from "../support/cluster";
import { smallDisk, whyNoDisk } from "../support/disk";
import { sampleOf, sumOf } from "../support/exposition";
import { temporaryFolder } from "../support/folder";
import { freePort } from "../support/ports";
import { until } from "../support/until";
import { startVolume } from "../support/volume";
import { operated } from "./operated";

setDefaultTimeout(60_000);
const why = whyNoDisk();
if (why) console.log(`skipped: a full disk, since none can be mounted here (${why})`);

test.skipIf(why !== undefined)(
  "a disk that fills up is seen to be full, by what it says or refuses; and a read-only one to be that",
  async () => {
    await using held = new AsyncDisposableStack();
    const folder = held.use(temporaryFolder());
    const [told, refusing] = [held.use(smallDisk(8_000_000)), held.use(smallDisk(8_000_000))];
    const volumes = [
      held.use(await startMkvVolume({ dir: told.path })),
      held.use(await startVolume({ dir: refusing.path })),
    ];
    const port = await freePort();
    const flags = ["-adminport", String(port), "-replicas", "2"];
    const cluster = held.use(
      new Cluster(volumes, join(folder.path, "index"), flags, undefined, new AsyncDisposableStack()),
    );
    await cluster.startMaster();
    const store = operated(cluster, port);
    const [first, second] = cluster.addresses as [string, string];
    const disk = (volume: string) => `{disk="sv03",volume="${volume}"}`;
    const known = async () => sumOf(await store.metrics(), "mkv_disk_free_bytes") > 0;
    await until(known, { what: "the disks are asked" });
    const metrics = await store.metrics();
    const free = sampleOf(metrics, `mkv_disk_free_bytes${disk(first)}`);
    expect(sampleOf(metrics, `mkv_disk_size_bytes${disk(first)}`)).toBeGreaterThan(free);
    expect(sampleOf(metrics, `mkv_disk_free_files${disk(first)}`)).toBeGreaterThan(0);
    expect(sampleOf(metrics, `mkv_volume_free_bytes{volume="${first}"}`)).toBe(free); // All are one disk.
    expect([...metrics.samples.keys()].filter((series) => /mkv_disk/.test(series) && series.includes(second))).toEqual(
      [],
    );

    await told.fill(0);
    await refusing.fill(0);
    const isFull = (volume: string) => async () => {
      if (volume === second) await cluster.ask("PUT", `/${Math.random()}`, { body: "x" }); // Until its turn comes.
      const { volumes, problems } = await store.status();
      const report = volumes.find(({ name }) => name === volume)!;
      return report.state === "full" && problems.some((problem) => problem.startsWith(`${volume} is full`));
    };
    await until(isFull(second), { what: "one has refused a write" });
    const allFull = async () => sumOf(await store.metrics(), "mkv_volume_full", first) === 10;
    await until(allFull, { what: "one has said that it is full", deadlineMs: 20_000 });
    await until(isFull(first), { what: "its state says so" });
    expect((await store.ask("/readyz")).status).toBe(503);
    for (const volume of [first, second])
      await until(() => new RegExp(` warn ${volume} is full[ :]`).test(cluster.master.output), { what: "it is told" });

    told.clear();
    told.protect();
    const isProtected = async () => (await store.status()).problems.includes(`${first} is read-only`);
    await until(isProtected, { what: "one is read-only", deadlineMs: 20_000 });
    await until(() => cluster.master.output.includes(` warn ${first} is read-only (sv00, sv01,`), {
      what: "it is told",
    });
  },
);
