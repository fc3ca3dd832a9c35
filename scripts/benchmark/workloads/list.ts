// Owns the lists: pages out of a large index, and all keys of it.
import { ClassicLevel } from "classic-level";
import { join } from "node:path";
import { type Bench, compare } from "../compare";
import { type Work, timed } from "../measure";
import { demand } from "../failure";
import { serveAll, sideOf } from "../programs";
import { ask } from "../traffic";
import { Shelf, entriesUpTo, keyOf, mix, upTo, writeIndex } from "../values";

const pageKeys = 1_000;

/** Pages of 1,000 keys from anywhere; where there is time for it, all keys at once. */
export async function list(bench: Bench): Promise<void> {
  const { listKeys, pages, fullLists } = bench.sizes;
  await using shelf = await Shelf.start();
  const entries = () => entriesUpTo(listKeys, shelf.topology);
  const served = await serveAll(bench.programs, shelf, { entries });
  await writeIndex(join(shelf.folder, "yardstick"), entries());
  await using level = new ClassicLevel<Uint8Array, string>(join(shelf.folder, "yardstick"), {
    ...{ keyEncoding: "view", valueEncoding: "utf8" }, // The encodings that are read fastest.
  });
  let asked = 0;
  const starts = () => upTo(pages).map(() => mix(asked++) % (listKeys - pageKeys));
  const of = listKeys.toLocaleString("en");
  await compare(bench, { title: `?list of 1,000 keys out of ${of}`, unit: "ms", wanted: "0.8 x" }, [
    { name: "classic-level", measure: () => readPages(level, starts()) },
    ...served.map((one) => sideOf(one, (port) => askPages(port, starts()))),
  ]);
  if (fullLists === 0) return;
  await compare(bench, { title: `?list of ${of} keys`, unit: "keys/s", wanted: "0.8 x, 250 MB" }, [
    { name: "classic-level", measure: () => timed(listKeys, () => read(level, { keys: listKeys })) },
    ...served.map((one) => sideOf(one, (port) => askAll(port, listKeys))),
  ]);
}

function readPages(level: ClassicLevel<Uint8Array, string>, starts: readonly number[]): Promise<Work> {
  return timed(starts.length, async () => {
    for (const start of starts) await read(level, { from: keyOf(start), keys: pageKeys });
  });
}

async function read(
  level: ClassicLevel<Uint8Array, string>,
  { from = "/", keys }: { from?: string; keys: number },
): Promise<void> {
  const iterator = level.iterator({ gte: Buffer.from(from), fillCache: false });
  let found = 0;
  while (found < keys) {
    const page = await iterator.nextv(Math.min(pageKeys, keys - found));
    if (page.length === 0) break;
    found += page.length;
  }
  await iterator.close();
  demand(found === keys, `${found} records instead of ${keys}`);
}

/** Pages from the keys with these numbers on. */
export async function askPages(port: number, starts: readonly number[]): Promise<Work> {
  const bodies: string[] = [];
  const work = await timed(starts.length, async () => {
    for (const start of starts) {
      bodies.push(await (await ask(200, "GET", `:${port}/?list&limit=${pageKeys}&start=${keyOf(start)}`)).text());
    }
  });
  for (const [i, body] of bodies.entries()) {
    const { keys } = JSON.parse(body) as { keys: string[] };
    const isRight = keys.length === pageKeys && keys.every((key, n) => key === keyOf(starts[i]! + n));
    demand(isRight, `a page of ?list has ${keys.length} keys from ${keys[0]} on, and they are not the right ones`);
  }
  return work;
}

async function askAll(port: number, expected: number): Promise<Work> {
  let body = "";
  const work = await timed(expected, async () => (body = await (await ask(200, "GET", `:${port}/?list`)).text()));
  const { keys } = JSON.parse(body) as { keys: string[] };
  const isRight = keys.length === expected && keys.every((key, n) => n % 97 > 0 || key === keyOf(n));
  demand(isRight, `?list gives ${keys.length} keys, not the ${expected} there are`);
  return work;
}
