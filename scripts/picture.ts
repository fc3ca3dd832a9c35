// Takes the picture of the page that docs/monitoring.md shows: a real store with real traffic, watched by a real browser for
// a quarter of an hour, in which one volume goes away and comes back, and another one goes.
//   bun run build && MKV=./mkv bun scripts/picture.ts [MINUTES]
import { join } from "node:path";
import { startMkvVolume } from "../test/durability/mkv-volume";
import { startBrowser } from "../test/support/browser";
import { Cluster } from "../test/support/cluster";
import { temporaryFolder } from "../test/support/folder";
import { freePort } from "../test/support/ports";

const minutes = Number(process.argv[2] ?? 15);
const file = join(import.meta.dir, "..", "docs", "page.png");

/** Writes, reads and deletes keys, in waves, until stopped. */
async function work(cluster: Cluster, stop: AbortSignal): Promise<void> {
  for (let i = 0; !stop.aborted; i++) {
    await cluster.store(`/videos/${i}`, "x".repeat(1 + Math.floor(50_000 * Math.random() ** 3)));
    for (let reads = 0; reads < 4; reads++) await cluster.ask("GET", `/videos/${Math.floor(Math.random() * i)}`);
    if (i % 7 === 6) await cluster.ask("DELETE", `/videos/${i - 3}`);
    await Bun.sleep(20 + 80 * Math.sin(performance.now() / 90_000) ** 2);
  }
}

await using held = new AsyncDisposableStack();
const folder = held.use(temporaryFolder());
const volumes = [];
while (volumes.length < 5) volumes.push(held.use(await startMkvVolume()));
const port = await freePort();
const flags = ["-adminport", String(port), "-heal", "5"];
const cluster = held.use(
  new Cluster(volumes, join(folder.path, "index"), flags, undefined, new AsyncDisposableStack()),
);
await cluster.startMaster();
const stop = new AbortController();
const working = work(cluster, stop.signal);
const part = (share: number) => Bun.sleep(share * minutes * 60_000);
await part(0.4);
await volumes[2]!.kill();
await part(0.1);
await volumes[2]!.start();
await part(0.45);
await volumes[1]!.kill();
await part(0.05);

const page = held.use(await startBrowser());
await page.look({ width: 1040, height: 800, scheme: "light" });
await page.open(`http://localhost:${port}/`);
await Bun.sleep(3000);
await Bun.write(file, await page.picture());
stop.abort();
await working;
