// Owns the process that reads an index as fast as LevelDB gives it. Run with a scan as its argument, it prints how long
// that took, without the start: seconds for all records, or milliseconds for each page.
import { ClassicLevel } from "classic-level";
import { demand } from "./failure";

/** What to read: pages from these keys on; all records if there are none. */
export type Scan = {
  readonly folder: string;
  readonly keys: number;
  readonly pages: readonly string[];
  readonly pageKeys?: number;
};

type Db = ClassicLevel<Uint8Array, string>;

const step = 1_000;

async function readAll(db: Db, keys: number): Promise<number> {
  const startedMs = performance.now();
  let found = 0;
  const iterator = db.iterator({ fillCache: false });
  for (let page = await iterator.nextv(step); page.length > 0; page = await iterator.nextv(step)) found += page.length;
  await iterator.close();
  const seconds = (performance.now() - startedMs) / 1000;
  demand(found === keys, `${found} records instead of ${keys}`);
  return seconds;
}

async function readPages(db: Db, starts: readonly Uint8Array[], pageKeys: number): Promise<number> {
  const startedMs = performance.now();
  for (const gte of starts) {
    const iterator = db.iterator({ gte, fillCache: false });
    let found = 0;
    for (let page = await iterator.nextv(pageKeys); page.length > 0; page = await iterator.nextv(pageKeys - found)) {
      found += page.length;
      if (found >= pageKeys) break;
    }
    demand(found > 0, "an empty page");
    await iterator.close();
  }
  return (performance.now() - startedMs) / starts.length;
}

if (import.meta.main) {
  const { folder, keys, pages, pageKeys } = JSON.parse(process.argv[2]!) as Scan;
  // The encodings that are read fastest.
  const db: Db = new ClassicLevel(folder, { keyEncoding: "view", valueEncoding: "utf8" });
  await db.open();
  const starts = pages.map((key) => new Uint8Array(Buffer.from(key)));
  console.log(pageKeys === undefined ? await readAll(db, keys) : await readPages(db, starts, pageKeys));
  await db.close();
}
