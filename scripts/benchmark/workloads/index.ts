// Owns the large index: GETs and start of a master that has one, against the same program with a small one.
import { join } from "node:path";
import { type Bench, type Comparison, type Workload, compare, entrant } from "../bench";
import { type Contestant } from "../contestant";
import { type Entry, fillerOf, recordOf, writeIndex } from "../ledger";
import { type Row } from "../row";
import { keyOf, placeOf } from "../shelf";
import { wrk } from "../wrk";

const smallKeys = 1_000;

/** Both indexes and the flags with which they are served. */
type Pair = { readonly large: string; readonly small: string; readonly flags: readonly string[] };

/** An index as large as they get. Those keys that are asked for have values; the others are only in the way. */
export const index: Workload = {
  name: "index",
  room: ({ sizes, stock }) => ({ bytes: stock.room.bytes + sizes.indexKeys * 100, files: stock.room.files + 5000 }),
  async run(bench) {
    const cluster = await bench.stock.cluster();
    const small = await bench.stock.index("small", bench.stock.numbers(smallKeys));
    const large = join(bench.home.folder("indexes"), "large");
    await writeIndex(large, allEntries(bench, cluster.topology()));
    const rows: Row[] = [];
    for (const contestant of bench.contestants) {
      const flags = [...cluster.flags(), ...contestant.mayFlag("probe", "volume")];
      const pair: Pair = { large, small, flags };
      rows.push(...(await compareStarts(bench, contestant, pair)));
      rows.push(...(await compareGets(bench, contestant, pair)));
    }
    bench.home.remove(large);
    return rows;
  },
};

async function compareStarts(bench: Bench, contestant: Contestant, { large, small, flags }: Pair): Promise<Row[]> {
  const start = async (db: string) => {
    await using master = await contestant.serve(db, flags);
    return master.startMs;
  };
  return await compare(bench, {
    ...rowOf(bench, "start", "ms", 1 / 0.7),
    yardstick: { title: titleOf(), measure: () => start(small) },
    entrants: [{ program: contestant.name, measure: () => start(large) }],
  });
}

async function compareGets(bench: Bench, contestant: Contestant, { large, small, flags }: Pair): Promise<Row[]> {
  const { stock, sizes } = bench;
  await using few = await contestant.serve(small, flags);
  await using many = await contestant.serve(large, flags);
  await stock.check(few.port, stock.numbers(smallKeys));
  await stock.check(many.port);
  const { seconds } = sizes;
  const absent = (port: number, keys: number) => wrk(port, { kind: "absent", keys }, { seconds, expect: "not found" });
  const rows = await compare(bench, {
    ...rowOf(bench, "absent keys", "req/s", 0.7),
    yardstick: { title: titleOf(), measure: () => absent(few.port, sizes.indexKeys) },
    entrants: [entrant(many, () => absent(many.port, sizes.indexKeys))],
  });
  const fewPaths = stock.paths("few", stock.numbers(smallKeys));
  const manyPaths = stock.paths("many");
  const present = (port: number, file: string) => wrk(port, { kind: "paths", file }, { seconds, expect: "found" });
  rows.push(
    ...(await compare(bench, {
      ...rowOf(bench, "present keys", "req/s", 0.7),
      yardstick: { title: titleOf(), measure: () => present(few.port, fewPaths) },
      entrants: [entrant(many, () => present(many.port, manyPaths))],
    })),
  );
  await many.demandHealth();
  return rows;
}

function rowOf({ sizes }: Bench, what: string, unit: Row["unit"], target: number) {
  const title = `index of ${sizes.indexKeys.toLocaleString("en")}: ${what}`;
  return { workload: "index", title, unit, target, runs: 5 } satisfies Partial<Comparison>;
}

function titleOf(): string {
  return `${smallKeys.toLocaleString("en")} keys`;
}

function* allEntries({ sizes, stock }: Bench, topology: Parameters<typeof placeOf>[1]): Generator<Entry> {
  for (let number = 0; number < sizes.indexKeys; number++) {
    const key = keyOf(number);
    const hasValue = number % stock.stride === 0;
    yield [key, hasValue ? recordOf(placeOf(key, topology), number) : fillerOf(number, topology.volumes)];
  }
}
