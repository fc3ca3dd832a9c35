// Owns the rebuild of an index out of the listings of the volumes: many small folders, and few that are full.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Bench, type Entrant, type Workload, compare } from "../bench";
import { Cluster } from "../cluster";
import { type Contestant } from "../contestant";
import { demand } from "../failure";
import { readIndex } from "../ledger";
import { type Row } from "../row";
import { Shelf, keyOf, placeOf, valueOf, walk } from "../shelf";
import { wrk } from "../wrk";

const valueBytes = 100;
const connections = 48; // Of each of 16 folders, one of each of three volumes.

/** As a store looks that has a few values in each folder. */
export const rebuild: Workload = {
  name: "rebuild",
  room: ({ sizes }) => roomOf(6 * sizes.rebuildKeys),
  async run(bench) {
    await using cluster = await Cluster.start(bench.home, "rebuild");
    const keys = Array.from({ length: bench.sizes.rebuildKeys }, (_, i) => keyOf(i));
    return await compareRebuilds(bench, cluster, keys, { workload: "rebuild", title: "rebuild, small folders" });
  },
};

/** As a store looks that has many values in each folder, were it not for all the other folders. */
export const folders: Workload = {
  name: "folders",
  room: ({ sizes }) => roomOf(4 * sizes.fullFolders * sizes.filesOfFolder),
  async run(bench) {
    await using cluster = await Cluster.start(bench.home, "folders", { subvolumes: 1 });
    const keys = keysOfFolders(bench.sizes.fullFolders, bench.sizes.filesOfFolder);
    return await compareRebuilds(bench, cluster, keys, { workload: "folders", title: "rebuild, full folders" });
  },
};

async function compareRebuilds(
  bench: Bench,
  cluster: Cluster,
  keys: readonly string[],
  row: Pick<Row, "workload" | "title">,
): Promise<Row[]> {
  const shelf = new Shelf(cluster);
  for (const key of keys) shelf.store(placeOf(key, cluster.topology()), valueOf(key, valueBytes));
  const file = join(cluster.folder, "listings");
  const listings = writeListings(file, cluster);
  bench.home.settle();
  const ports = cluster.volumes.map(({ port }) => port);
  const load = { kind: "folders", file, ports } as const;
  const { seconds } = bench.sizes;
  return await compare(bench, {
    ...row,
    unit: "files/s",
    target: 0.6,
    runs: 3,
    yardstick: {
      title: "wrk, same listings",
      async measure() {
        const rate = await wrk(ports[0]!, load, { seconds, connections, expect: "found" });
        return (rate * listings.files) / listings.folders;
      },
    },
    entrants: bench.contestants.map((contestant) => entrant(bench, cluster, contestant, keys)),
  });
}

function entrant(bench: Bench, cluster: Cluster, contestant: Contestant, keys: readonly string[]): Entrant {
  const db = join(cluster.folder, `db-${contestant.name}`);
  const expected = new Set(keys);
  let peakBytes = 0;
  return {
    program: contestant.name,
    memory: () => ({ peakBytes }),
    async measure() {
      bench.home.remove(db);
      const { seconds, peakBytes: peak } = await contestant.run("rebuild", db, cluster.flags());
      peakBytes = Math.max(peakBytes, peak);
      let found = 0;
      for await (const page of readIndex(db)) {
        found += page.length;
        for (const [key, record] of page) demand(expected.has(key), `${key} is no key, but ${record} was made for it`);
        const [key, record] = page[0]!;
        const right = placeOf(key, cluster.topology()).volumes.join(",");
        demand(record === right, `${contestant.name} has rebuilt ${key} as ${record} instead of ${right}`);
      }
      demand(found === keys.length, `${contestant.name} has found ${found} of ${keys.length} keys`);
      return (3 * keys.length) / seconds;
    },
  };
}

/** Writes down all listings that a rebuild needs; returns how many, and how many files are in them. */
function writeListings(file: string, cluster: Cluster): { folders: number; files: number } {
  const sums = { folders: 0, files: 0 };
  const lines: string[] = [];
  for (const { port, folder } of cluster.volumes) {
    const walked = walk(folder);
    sums.folders += walked.folders.length;
    sums.files += walked.files;
    for (const path of walked.folders) lines.push(`${port} ${path}\n`);
  }
  writeFileSync(file, lines.join(""));
  return sums;
}

/** Keys whose values all lie in so many folders: their names are tried, one after the other. */
function keysOfFolders(folders: number, filesOfFolder: number): string[] {
  const keys: string[] = [];
  const hash = new Uint8Array(16);
  for (let n = 0; keys.length < folders * filesOfFolder; n++) {
    const key = `/folders/${n}`;
    Bun.MD5.hash(key, hash);
    if (hash[0]! * 256 + hash[1]! < folders) keys.push(key);
  }
  return keys;
}

function roomOf(files: number): { bytes: number; files: number } {
  return { bytes: files * 4096, files };
}
