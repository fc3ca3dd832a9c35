// Owns the GETs: of keys that are not there, and of keys that are, as fast as wrk can ask for them.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Bench, type Plan, compare } from "../compare";
import { demand } from "../failure";
import { type Flags, bareSide, serveAll, sideOf } from "../programs";
import { fetchValue, wrk } from "../traffic";
import { Shelf, entriesUpTo, keyOf, mix, upTo, valueOf } from "../values";

const samples = 50;

/** Absent keys, answered by one thread. */
export async function absent(bench: Bench): Promise<void> {
  const { keys, seconds } = bench.sizes;
  await using shelf = await Shelf.start();
  const entries = () => entriesUpTo(keys, shelf.topology);
  const served = await serveAll(bench.programs, shelf, { entries, flags: { threads: 1 } });
  const work = (port: number) => wrk([port], { absentAmong: keys }, seconds);
  await compare(bench, { title: "GET of absent keys, one thread", unit: "req/s", wanted: "CPU 1.3 x" }, [
    await bareSide(shelf, { master: served[0]!.master, key: "/absent" }, work),
    ...served.map((one) => sideOf(one, work)),
  ]);
}

/** Keys that are there, each with the question to a volume whether it has the value. */
export async function get(bench: Bench): Promise<void> {
  await present(bench, { title: "GET of present keys, at random", unit: "req/s", wanted: "CPU 3.0 x" });
}

/** Keys that are there, as the index says, over few volumes and over many. */
export async function probe(bench: Bench): Promise<void> {
  const able = { ...bench, programs: bench.programs.filter((program) => program.knows("probe")) };
  const title = "GET of present keys, -probe volume";
  await present(able, { title, unit: "req/s", wanted: "CPU 1.5 x" }, { probe: "volume" });
  const volumes = bench.sizes.manyVolumes;
  await present(able, { title: `${title}, ${volumes} volumes`, unit: "req/s" }, { probe: "volume" }, volumes);
}

async function present(bench: Bench, plan: Plan, flags: Flags = {}, volumes = 3): Promise<void> {
  const { keys, seconds } = bench.sizes;
  await using shelf = await Shelf.start({ volumes });
  const names = upTo(keys).map(keyOf);
  await shelf.store(names);
  const entries = () => entriesUpTo(keys, shelf.topology);
  const served = await serveAll(bench.programs, shelf, { entries, flags: { threads: 1, ...flags } });
  const work = (port: number) => wrk([port], { file: pathsFile(shelf.folder, port, names) }, seconds);
  const check = async () => {
    for (const { program, master } of served) {
      for (const key of upTo(samples).map((i) => names[mix(i) % keys]!)) {
        const isRight = valueOf(key).equals(await fetchValue(master.port, key));
        demand(isRight, `${program.name}: GET ${key} leads to another value`);
      }
    }
  };
  await check();
  await compare(bench, plan, [
    await bareSide(shelf, { master: served[0]!.master, key: keyOf(0) }, work),
    ...served.map((one) => sideOf(one, work)),
  ]);
  await check();
}

/** A file of what wrk asks a port for. */
export function pathsFile(folder: string, port: number, paths: readonly string[]): string {
  const file = join(folder, `paths-${port}`);
  writeFileSync(file, paths.map((path) => `${port} ${path}\n`).join(""));
  return file;
}
