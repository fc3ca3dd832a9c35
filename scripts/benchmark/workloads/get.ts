// Owns the GETs: of keys that are not there, and of keys that are, as fast as wrk can ask for them.
import { join } from "node:path";
import { type Bench, type Workload, compare, entrant, serveAll, skippedRow } from "../bench";
import { Cluster } from "../cluster";
import { entriesOf, writeIndex } from "../ledger";
import { type Row } from "../row";
import { wrk } from "../wrk";

const title404 = "nginx 404";

/** Absent keys, answered by one thread. */
export const absent: Workload = {
  name: "absent",
  room: ({ sizes }) => ({ bytes: sizes.shelfKeys * 500, files: 1000 }),
  async run(bench) {
    const { home, sizes, contestants } = bench;
    await using cluster = await Cluster.start(home, "absent");
    const numbers = Array.from({ length: sizes.shelfKeys }, (_, i) => i);
    await using served = await serveAll(contestants, async (contestant) => {
      const db = join(cluster.folder, `db-${contestant.name}`);
      await writeIndex(db, entriesOf(numbers, cluster.topology()));
      return await contestant.serve(db, [...cluster.flags(), ...contestant.mayFlag("threads", "1")]);
    });
    const load = { kind: "absent", keys: sizes.shelfKeys } as const;
    const ask = (port: number) => wrk(port, load, { seconds: sizes.seconds, expect: "not found" });
    return await compare(bench, {
      workload: "absent",
      title: "GET of absent keys, one thread",
      unit: "req/s",
      target: 1,
      runs: 5,
      yardstick: { title: title404, measure: () => ask(cluster.volumes[0]!.port) },
      entrants: served.masters.map((master) => entrant(master, () => ask(master.port))),
    });
  },
};

/** Keys that are there, each time with the question to a volume whether it has the value. */
export const get: Workload = {
  name: "get",
  room: ({ stock }) => stock.room,
  run: (bench) => present(bench, { workload: "get", title: "GET of present keys", target: 0.4, probe: undefined }),
};

/** Keys that are there, as the index says. */
export const probe: Workload = {
  name: "probe",
  room: ({ stock }) => stock.room,
  run: (bench) => present(bench, { workload: "probe", title: "GET, -probe volume", target: 0.9, probe: "volume" }),
};

type Present = { workload: string; title: string; target: number; probe: string | undefined };

async function present(bench: Bench, { workload, title, target, probe }: Present): Promise<Row[]> {
  const { sizes, stock, contestants } = bench;
  const row = { workload, title, target, unit: "req/s" } as const;
  const able = contestants.filter((contestant) => probe === undefined || contestant.knows("probe"));
  const unable = contestants.filter((contestant) => !able.includes(contestant));
  const skipped = unable.map(({ name }) => skippedRow(row, name, "has no flag -probe"));
  if (able.length === 0) return skipped;
  const cluster = await stock.cluster();
  await using served = await serveAll(able, async (contestant) => {
    const db = await stock.index(`${workload}-${contestant.name}`);
    const flags = probe === undefined ? [] : ["-probe", probe];
    return await contestant.serve(db, [...cluster.flags(), ...flags]);
  });
  for (const { port } of served.masters) await stock.check(port);
  const paths = { kind: "paths", file: stock.paths(workload) } as const;
  const absent = { kind: "absent", keys: sizes.shelfKeys } as const;
  const { seconds } = sizes;
  const rows = await compare(bench, {
    ...row,
    runs: 5,
    yardstick: {
      title: title404,
      measure: () => wrk(cluster.volumes[0]!.port, absent, { seconds, expect: "not found" }),
    },
    entrants: served.masters.map((master) =>
      entrant(master, () => wrk(master.port, paths, { seconds, expect: "found" })),
    ),
  });
  for (const master of served.masters) {
    await stock.check(master.port);
    await master.demandHealth();
  }
  return [...rows, ...skipped];
}
