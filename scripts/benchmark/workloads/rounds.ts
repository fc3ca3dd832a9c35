// Owns the rounds of PUT, GET and DELETE that many clients go at once.
import { join } from "node:path";
import { type Workload, compare, entrant, serveAll } from "../bench";
import { outputOf } from "../children";
import { Cluster } from "../cluster";
import { readIndex } from "../ledger";
import { demand } from "../failure";
import { type Rounds } from "../client";
import { walk } from "../shelf";

const clients = 16;

/** Small values: written, read back, deleted. */
export const rounds: Workload = {
  name: "rounds",
  room: ({ sizes }) => ({ bytes: sizes.seconds * 5 * 2 * 10_000 * 4096, files: sizes.seconds * 5 * 2 * 10_000 }),
  async run(bench) {
    const { home, sizes, contestants } = bench;
    await using cluster = await Cluster.start(home, "rounds");
    let runs = 0;
    const client = async (side: Pick<Rounds, "master" | "topology">): Promise<number> => {
      const { seconds, smallBytes: bytes } = sizes;
      const plan: Rounds = { ...side, seconds, clients, bytes, prefix: `/rounds/${++runs}` };
      const said = await outputOf([process.execPath, join(import.meta.dir, "../client.ts"), JSON.stringify(plan)]);
      const result = JSON.parse(said) as { rounds: number; seconds: number };
      return result.rounds / result.seconds;
    };
    const dbOf = (name: string) => join(cluster.folder, `db-${name}`);
    const rows = await (async () => {
      await using served = await serveAll(contestants, (contestant) =>
        contestant.serve(dbOf(contestant.name), cluster.flags()),
      );
      const rows = await compare(bench, {
        workload: "rounds",
        title: "PUT, GET, DELETE",
        unit: "rounds/s",
        target: 0.65,
        runs: 5,
        yardstick: { title: "nginx", measure: () => client({ topology: cluster.topology() }) },
        entrants: served.masters.map((master) => entrant(master, () => client({ master: master.port }))),
      });
      for (const master of served.masters) await master.demandHealth();
      return rows;
    })();
    for (const { name } of contestants) {
      for await (const page of readIndex(dbOf(name))) demand(page.length === 0, `${name}: keys are left in the index`);
    }
    const left = cluster.volumes.map(({ folder }) => walk(folder).files);
    demand(
      left.every((files) => files === 0),
      `files are left on the volumes: ${left.join(", ")}`,
    );
    return rows;
  },
};
