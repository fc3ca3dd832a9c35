// Owns the rounds of PUT, GET and DELETE that 16 clients go at once.
import { remainsOn } from "../../../test/support/files";
import { type Bench, compare } from "../compare";
import { type Work } from "../measure";
import { demand } from "../failure";
import { serveAll, sideOf } from "../programs";
import { ask, fetchValue, forSeconds, goThrough } from "../traffic";
import { Shelf, valueOf } from "../values";

let runs = 0;

/** Small values: written, read back, deleted. */
export async function rounds(bench: Bench): Promise<void> {
  await using shelf = await Shelf.start();
  const served = await serveAll(bench.programs, shelf);
  const go = (round: (key: string, value: Buffer) => Promise<void>): Promise<Work> => {
    const run = ++runs;
    const keyOf = (n: number) => `/rounds/${run}/${n}`;
    return goThrough(forSeconds(bench.sizes.seconds), (n) => round(keyOf(n), valueOf(keyOf(n))));
  };
  await compare(bench, { title: "PUT, GET, DELETE of 1 kB, 16 clients", unit: "rounds/s", wanted: "0.65 x" }, [
    { name: "nginx straight", measure: () => go((key, value) => withVolumes(shelf, key, value)) },
    ...served.map((one) => sideOf(one, (port) => go((key, value) => withMaster(port, key, value)))),
  ]);
  for (const { program, master } of served) {
    await master.stop();
    demand((await program.entriesIn(master.db)).length === 0, `${program.name}: keys are left in the index`);
  }
  const left = shelf.volumes.flatMap(({ dir }) => remainsOn(dir));
  demand(left.length === 0, `${left.length} files are left on the volumes`);
}

async function withMaster(port: number, key: string, value: Buffer): Promise<void> {
  await ask(201, "PUT", `:${port}${key}`, { body: value });
  demand(value.equals(await fetchValue(port, key)), `GET ${key} gives another value`);
  await ask(204, "DELETE", `:${port}${key}`);
}

/** As a master does it. */
async function withVolumes(shelf: Shelf, key: string, value: Buffer): Promise<void> {
  const urls = shelf.urlsOf(key);
  const one = urls[Math.floor(Math.random() * urls.length)]!;
  await Promise.all(urls.map((url) => ask(201, "PUT", url, { body: value })));
  await ask(200, "HEAD", one);
  demand(value.equals(await (await ask(200, "GET", one)).bytes()), `GET ${one} gives another value`);
  await Promise.all(urls.map((url) => ask(204, "DELETE", url)));
}
