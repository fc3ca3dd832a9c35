// Owns a cluster that the Go program has left: 120 keys, a third of them with a "/" in their Base64, 12 unlinked.
import { join } from "node:path";
import { Cluster } from "./cluster";
import { temporaryFolder } from "./folder";
import { holding } from "./holding";
import { recordsIn, writeRecords } from "./records";
import { CHECKOUT, startVolume, type Volume } from "./volume";

const archive = join(CHECKOUT, "test/fixtures/go-cluster.tar.gz");

/** Its keys; the value of each is the key, as many times as its place in here. */
export const keys = Array.from({ length: 120 }, (_, i) => {
  const number = String(i).padStart(3, "0");
  return i % 3 === 0 ? `/dir/ünï-${number}/é.bin` : `/key-${number}`;
});

/** Its volumes and its index, without a master. The volumes had other ports: those are changed in the records. */
export async function startLeftByGo(): Promise<Cluster> {
  return await holding(async (held) => {
    const { path } = held.use(temporaryFolder());
    for (const command of [
      ["tar", "xzf", archive, "--no-same-owner", "-C", path],
      ["chmod", "-R", "a+rwX", path],
    ])
      if ((await Bun.spawn(command).exited) !== 0) throw new Error(`${command.join(" ")} failed`);
    const volumes: Volume[] = [];
    for (const n of [1, 2, 3]) volumes.push(held.use(await startVolume({ dir: join(path, `volume${n}`) })));
    const cluster = new Cluster(volumes, join(path, "indexdb"), [], undefined, held);
    const renamed = (record: string) =>
      record.replace(/localhost:300([123])/g, (_, n: string) => volumes[Number(n) - 1]!.address);
    const records = await recordsIn(cluster.db);
    await writeRecords(
      cluster.db,
      records.map(({ key, value }) => [key.toString(), renamed(value)]),
    );
    return cluster;
  });
}
