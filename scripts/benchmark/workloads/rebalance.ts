// Owns the rebalance after a fourth volume has come to three: many small values, and some large ones.
import { existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Bench, type Entrant, type Workload, compare } from "../bench";
import { outputOf } from "../children";
import { Cluster } from "../cluster";
import { type Contestant } from "../contestant";
import { demand } from "../failure";
import { type Entry, readIndex, writeIndex } from "../ledger";
import { type Row } from "../row";
import { type Placed, Shelf, isStored, keyOf, placeOf, valueOf } from "../shelf";

const atOnce = 16;

/** Small values. */
export const smallMoves: Workload = {
  name: "rebalance",
  room: ({ sizes }) => ({ bytes: 8 * sizes.smallMoves * 4096, files: 8 * sizes.smallMoves }),
  run: (bench) =>
    run(bench, {
      workload: "rebalance",
      count: bench.sizes.smallMoves,
      bytes: bench.sizes.smallBytes,
      curl: inTwoPasses,
    }),
};

/** Large values. */
export const largeMoves: Workload = {
  name: "rebalance-large",
  room: ({ sizes }) => ({ bytes: 5 * sizes.largeMoves * sizes.largeBytes, files: 8 * sizes.largeMoves }),
  run: (bench) =>
    run(bench, {
      workload: "rebalance-large",
      count: bench.sizes.largeMoves,
      bytes: bench.sizes.largeBytes,
      curl: piped,
    }),
};

/** A value before and after; `from` and `to` are URLs of what has to be copied. */
type Move = { key: string; before: Placed; after: Placed; old: string; fresh: string; from: string; to: string };
type Curl = (moves: readonly Move[], folder: string) => Promise<void>;

async function run(
  bench: Bench,
  { workload, count, bytes, curl }: { workload: string; count: number; bytes: number; curl: Curl },
): Promise<Row[]> {
  await using cluster = await Cluster.start(bench.home, workload, { volumes: 4 });
  const keys = Array.from({ length: count }, (_, i) => keyOf(i));
  const shelf = new Shelf(cluster);
  for (const key of keys) shelf.store(placeOf(key, cluster.topology(3)), valueOf(key, bytes));
  const moves = keys.map((key) => moveOf(cluster, key)).filter((move) => move !== undefined);
  demand(moves.length > 0, "no key moves");
  const files = bench.home.folder(`${workload}/copies`);
  return await compare(bench, {
    workload,
    title: `rebalance, ${bytes >= 1e6 ? `${bytes / 1e6} MB` : `${bytes / 1e3} kB`} values`,
    unit: "values/s",
    target: 0.6,
    runs: 3,
    yardstick: {
      title: `curl, ${atOnce} at once`,
      async measure() {
        bench.home.settle();
        const startedMs = performance.now();
        await curl(moves, files);
        const seconds = (performance.now() - startedMs) / 1000;
        for (const { key, fresh, after } of moves) {
          const copy = {
            ...after,
            volumes: after.volumes.filter((volume) => cluster.fileOf(volume, after.path) === fresh),
          };
          demand(isStored(cluster, copy, valueOf(key, bytes)), `curl has not copied ${key}`);
          rmSync(fresh);
        }
        return moves.length / seconds;
      },
    },
    entrants: bench.contestants.map((contestant) => entrant(bench, cluster, contestant, { keys, moves, bytes })),
  });
}

function entrant(
  bench: Bench,
  cluster: Cluster,
  contestant: Contestant,
  { keys, moves, bytes }: { keys: readonly string[]; moves: readonly Move[]; bytes: number },
): Entrant {
  const db = join(cluster.folder, `db-${contestant.name}`);
  const before = keys.map((key): Entry => [key, placeOf(key, cluster.topology(3)).volumes.join(",")]);
  let peakBytes = 0;
  return {
    program: contestant.name,
    memory: () => ({ peakBytes }),
    async measure() {
      await writeIndex(db, before);
      bench.home.settle();
      const flags = [...cluster.flags(), ...contestant.mayFlag("grace", "0")]; // The old copies go at once.
      const { seconds, peakBytes: peak } = await contestant.run("rebalance", db, flags);
      peakBytes = Math.max(peakBytes, peak);
      for await (const page of readIndex(db)) {
        for (const [key, record] of page) {
          const right = placeOf(key, cluster.topology()).volumes.join(",");
          demand(record === right, `${contestant.name} says of ${key} ${record} instead of ${right}`);
        }
      }
      for (const { key, old, fresh, after } of moves) {
        demand(!existsSync(old), `${contestant.name} has left ${key} where it was`);
        demand(isStored(cluster, after, valueOf(key, bytes)), `${contestant.name} has not moved ${key}`);
        renameSync(fresh, old);
      }
      return moves.length / seconds;
    },
  };
}

/** What happens to a key when the fourth volume comes; undefined if it stays. */
function moveOf(cluster: Cluster, key: string): Move | undefined {
  const before = placeOf(key, cluster.topology(3));
  const after = placeOf(key, cluster.topology());
  const old = before.volumes.find((volume) => !after.volumes.includes(volume));
  const fresh = after.volumes.find((volume) => !before.volumes.includes(volume));
  if (old === undefined || fresh === undefined) return undefined;
  const { path } = before;
  return {
    ...{ key, before, after },
    old: cluster.fileOf(old, path),
    fresh: cluster.fileOf(fresh, path),
    from: `http://${old}${path}`,
    to: `http://${fresh}${path}`,
  };
}

/** Two curls for all: one fetches the values, the other stores them. */
async function inTwoPasses(moves: readonly Move[], folder: string): Promise<void> {
  const [gets, puts] = [join(folder, "gets"), join(folder, "puts")];
  const fileOf = (i: number) => join(folder, String(i));
  writeFileSync(gets, moves.map(({ from }, i) => `url = "${from}"\noutput = "${fileOf(i)}"\n`).join(""));
  writeFileSync(puts, moves.map(({ to }, i) => `url = "${to}"\nupload-file = "${fileOf(i)}"\n`).join(""));
  for (const config of [gets, puts]) {
    await outputOf(["curl", "-sSf", "--parallel", "--parallel-max", String(atOnce), "--config", config]);
  }
}

/** Two curls for each value, one the source of the other. */
async function piped(moves: readonly Move[]): Promise<void> {
  const rest = moves.values();
  const workers = Array.from({ length: atOnce }, async () => {
    for (const { from, to } of rest) await outputOf(["sh", "-c", `curl -sSf '${from}' | curl -sSf -T - '${to}'`]);
  });
  await Promise.all(workers);
}
