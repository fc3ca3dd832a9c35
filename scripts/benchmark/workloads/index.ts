// Owns the large index: start and GETs of a master that has one, beside a master with a small one.
import { type Bench, compare } from "../compare";
import { type Side, type Work } from "../measure";
import { type Served, serveAll, sideOf } from "../programs";
import { wrk } from "../traffic";
import { Shelf, entriesUpTo, keyOf, mix, upTo } from "../values";
import { pathsFile } from "./get";

const smallKeys = 1_000;
const askedKeys = 100_000;

/** With `-probe volume` nobody looks for values, so there are none. */
export async function index(bench: Bench): Promise<void> {
  const { indexKeys, seconds } = bench.sizes;
  await using shelf = await Shelf.start();
  const flags = { threads: 1, probe: "volume", heal: 0 };
  const serve = (programs: Bench["programs"], keys: number) =>
    serveAll(programs, shelf, { entries: () => entriesUpTo(keys, shelf.topology), flags });
  const [small] = (await serve(bench.programs.slice(0, 1), smallKeys)) as [Served];
  const large = await serve(bench.programs, indexKeys);
  const sides = (sideFor: (one: Served, keys: number) => Side, able = large): Side[] => [
    { ...sideFor(small, smallKeys), name: `${smallKeys.toLocaleString("en")} keys` },
    ...able.map((one) => sideFor(one, indexKeys)),
  ];
  const row = (what: string, unit: "req/s" | "ms") =>
    ({ title: `index of ${indexKeys.toLocaleString("en")} keys: ${what}`, unit, wanted: "0.7 x" }) as const;
  const absent = (keys: number) => (port: number) => wrk([port], { absentAmong: keys }, seconds);
  await compare(
    bench,
    row("GET of absent keys", "req/s"),
    sides((one, keys) => sideOf(one, absent(keys))),
  );
  const present =
    (keys: number) =>
    (port: number): Promise<Work> => {
      const paths = upTo(Math.min(askedKeys, keys)).map((n) => keyOf(mix(n) % keys));
      return wrk([port], { file: pathsFile(shelf.folder, port, paths) }, seconds);
    };
  const able = large.filter(({ program }) => program.knows("probe"));
  const title = "GET of present keys, -probe volume";
  await compare(
    bench,
    row(title, "req/s"),
    sides((one, keys) => sideOf(one, present(keys)), able),
  );
  for (const { master } of [small, ...large]) await master.stop();
  const start = ({ program, master: { db } }: Served): Side => ({
    name: program.name,
    async measure() {
      const startMs = performance.now();
      await using master = await program.serve(db, { ...shelf.flags, ...flags });
      const seconds = (performance.now() - startMs) / 1000;
      await master.stop();
      return { items: 1, seconds };
    },
  });
  await compare(bench, row("start", "ms"), sides(start));
}
