// Owns the lists: of all keys of a large index, and of a page out of it.
import { join } from "node:path";
import { type Bench, type Entrant, type Workload, compare, entrant, serveAll } from "../bench";
import { outputOf } from "../children";
import { Cluster } from "../cluster";
import { type Master } from "../contestant";
import { demand } from "../failure";
import { entriesOf, writeIndex } from "../ledger";
import { type Scan } from "../reader";
import { type Row } from "../row";
import { keyOf, mix } from "../shelf";
import { Wire } from "../wire";

const pageKeys = 1_000;

/** All keys at once. */
export const list: Workload = {
  name: "list",
  room: roomOf,
  run: (bench) =>
    run(bench, {
      ...{ workload: "list", title: "?list of all keys", unit: "s" },
      scanned: () => ({ pages: [] }),
      asked: (master) => listAll(master, bench.sizes.listKeys),
    }),
};

/** Pages of 1,000 keys from anywhere. */
export const page: Workload = {
  name: "page",
  room: roomOf,
  run: (bench) =>
    run(bench, {
      ...{ workload: "page", title: "?list of 1,000 keys", unit: "ms" },
      scanned: (turn) => ({ pages: starts(bench, turn).map(keyOf), pageKeys }),
      asked: (master, turn) => listPages(master, starts(bench, turn), bench.sizes.listKeys),
    }),
};

type Plan = Pick<Row, "workload" | "title" | "unit"> & {
  /** What the yardstick reads, without its folder; what the master is asked. Runs of both with one number ask the same. */
  scanned: (turn: number) => Omit<Scan, "folder" | "keys">;
  asked: (master: Master, turn: number) => Promise<number>;
};

async function run(bench: Bench, { scanned, asked, ...row }: Plan): Promise<Row[]> {
  const { home, sizes, contestants } = bench;
  await using cluster = await Cluster.start(home, row.workload);
  const numbers = Array.from({ length: sizes.listKeys }, (_, i) => i);
  const make = async (name: string) => {
    const folder = join(cluster.folder, `db-${name}`);
    await writeIndex(folder, entriesOf(numbers, cluster.topology()));
    return folder;
  };
  const folder = await make("yardstick");
  await using served = await serveAll(contestants, async (contestant) =>
    contestant.serve(await make(contestant.name), cluster.flags()),
  );
  let turn = 0;
  const entrants = served.masters.map((master): Entrant => entrant(master, () => asked(master, turn)));
  const rows = await compare(bench, {
    ...row,
    target: 1.2,
    peakTargetBytes: 250e6,
    runs: 5,
    yardstick: {
      title: "reading with classic-level",
      async measure() {
        const scan: Scan = { folder, keys: sizes.listKeys, ...scanned(++turn) };
        return Number(await outputOf([process.execPath, join(import.meta.dir, "../reader.ts"), JSON.stringify(scan)]));
      },
    },
    entrants,
  });
  for (const master of served.masters) await master.demandHealth();
  return rows;
}

async function listAll(master: Master, keys: number): Promise<number> {
  using wire = await Wire.to(master.port);
  const startedMs = performance.now();
  const { status, body } = await wire.ask("GET", "/?list");
  const seconds = (performance.now() - startedMs) / 1000;
  demand(status === 200, `?list gives ${status}`);
  const found = (JSON.parse(body.toString()) as { keys: string[] }).keys;
  const isRight = found.length === keys && found.every((key, i) => i % 997 > 0 || key === keyOf(i));
  demand(isRight, `?list gives ${found.length} keys, not the ${keys} there are`);
  return seconds;
}

async function listPages(master: Master, numbers: readonly number[], keys: number): Promise<number> {
  using wire = await Wire.to(master.port);
  const bodies: Buffer[] = [];
  const startedMs = performance.now();
  for (const number of numbers) {
    const { status, body } = await wire.ask("GET", `/?list&limit=${pageKeys}&start=${keyOf(number)}`);
    demand(status === 200, `?list&limit gives ${status}`);
    bodies.push(body);
  }
  const ms = (performance.now() - startedMs) / numbers.length;
  for (const [i, body] of bodies.entries()) {
    const found = (JSON.parse(body.toString()) as { keys: string[] }).keys;
    const count = Math.min(pageKeys, keys - numbers[i]!);
    const isRight = found.length === count && found[0] === keyOf(numbers[i]!);
    demand(isRight, `a page of ?list has ${found.length} keys from ${found[0]} on, not ${count}`);
  }
  return ms;
}

function starts({ sizes }: Bench, turn: number): number[] {
  return Array.from({ length: sizes.pages }, (_, i) => mix(turn * sizes.pages + i) % sizes.listKeys);
}

function roomOf({ sizes, contestants }: Bench): { bytes: number; files: number } {
  return { bytes: sizes.listKeys * 200 * (1 + contestants.length), files: 1000 };
}
