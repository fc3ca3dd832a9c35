// Owns the rebalance after a fourth volume has come to three: many small values, and some large ones.
import { existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { type Bench, compare } from "../compare";
import { demand } from "../failure";
import { jobSide } from "../programs";
import { ask, goThrough } from "../traffic";
import { type Entry, Shelf, keyOf, upTo, valueOf } from "../values";

/** Small values. */
export async function smallMoves(bench: Bench): Promise<void> {
  await rebalance(bench, "rebalance of 1 kB values", { count: bench.sizes.smallMoves, bytes: 1e3 });
}

/** Large values. */
export async function largeMoves(bench: Bench): Promise<void> {
  await rebalance(bench, "rebalance of 10 MB values", { count: bench.sizes.largeMoves, bytes: 10e6 });
}

async function rebalance(
  bench: Bench,
  title: string,
  { count, bytes }: { count: number; bytes: number },
): Promise<void> {
  await using shelf = await Shelf.start({ volumes: 4 });
  const before = { ...shelf.topology, volumes: shelf.topology.volumes.slice(0, 3) };
  const keys = upTo(count).map(keyOf);
  await shelf.store(keys, bytes, before);
  const entries = keys.map((key): Entry => [key, shelf.volumesOf(key, before).join(",")]);
  const moves = keys.flatMap((key) => {
    const [old, fresh] = [shelf.urlsOf(key, before), shelf.urlsOf(key)];
    const [from, to] = [old.find((url) => !fresh.includes(url)), fresh.find((url) => !old.includes(url))];
    return from && to ? [{ key, from, to }] : [];
  });
  demand(moves.length > 0, "no key moves");
  const isValue = (key: string, file: string) => readFileSync(file).equals(valueOf(key, bytes));
  await compare(bench, { title, unit: "values/s", wanted: "0.6 x" }, [
    {
      name: "copies by 16 clients",
      async measure() {
        shelf.settle();
        const work = await goThrough(moves, async ({ from, to }) => {
          await ask(201, "PUT", to, { body: await (await ask(200, "GET", from)).bytes() });
        });
        for (const { key, to } of moves) {
          demand(isValue(key, shelf.fileOf(to)), `${key} is not copied`);
          rmSync(shelf.fileOf(to));
        }
        return work;
      },
    },
    ...bench.programs.map((program) =>
      jobSide(program, shelf, {
        ...{ name: "rebalance", flags: { grace: 0 }, entries, items: moves.length }, // The old copies go at once.
        check(made) {
          for (const [key, record] of made) {
            const right = shelf.volumesOf(key).join(",");
            demand(record === right, `${program.name}: ${key} is on ${record}, not ${right}`);
          }
          for (const { key, from, to } of moves) {
            demand(!existsSync(shelf.fileOf(from)), `${program.name} has left ${key} where it was`);
            const isMoved = shelf.filesOf(key).every((file) => isValue(key, file));
            demand(isMoved, `${program.name} has not moved ${key}`);
            renameSync(shelf.fileOf(to), shelf.fileOf(from));
          }
        },
      }),
    ),
  ]);
}
