// Owns the figures of large indexes: each is made once, kept, and looked at from all sides.
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startPostgres } from "../../../test/support/postgres";
import { type Result, cpuUsOf, metered, rateOf, shown } from "../measure";
import { type Options, type Sizes, sizesOf } from "../options";
import { Program } from "../programs";
import { wrk } from "../traffic";
import { Shelf, entriesUpTo, keyOf, mix, upTo, writeIndex } from "../values";
import { pathsFile } from "./get";
import { askPages } from "./list";

const askedKeys = 100_000;
const warmUps = 5;
const mostWithFiles = 1_000_000;
/** Reading all keys takes as much longer as there are more. */
const mostExported = 1_000_000;
/** Those of a small machine; as in `postgres.ts` it does not wait for the disk. */
const settings = ["shared_buffers=1GB", "max_wal_size=8GB"];

/** What was found out of one index: figures by their names, which tell the unit, or why there is none. */
export type Scale = { readonly title: string; readonly figures: Readonly<Record<string, number | string>> };

/** An index that is there now. */
type Kept = {
  readonly program: Program;
  readonly db: string;
  readonly keys: number;
  readonly figures: Scale["figures"];
};

/** Makes each index that is not in the folder yet, and measures a master over it. */
export async function* measureScale(ours: Program, keep: string, options: Options): AsyncGenerator<Scale> {
  const { level, postgres } = options.scale;
  const sizes = sizesOf(options);
  mkdirSync(keep, { recursive: true });
  await using shelf = await keptShelf(keep);
  for (const keys of level) yield await measure(shelf, { keep, sizes }, await keepLevel(shelf, ours, { keep, keys }));
  if (postgres.length === 0) return;
  await using server = await startPostgres({ settings, data: join(keep, "postgres") });
  const program = new Program(ours.name, ours.binary, server);
  for (const keys of postgres)
    yield await measure(shelf, { keep, sizes }, await keepPostgres(shelf, program, { keep, keys }));
  await server.stop();
}

/** As a person reads it. */
export function textOf({ title, figures }: Scale): string {
  const width = Math.max(...Object.keys(figures).map((name) => name.length));
  const text = (figure: number | string) => (typeof figure === "number" ? shown(figure) : figure);
  return [title, ...Object.entries(figures).map(([name, figure]) => `  ${name.padEnd(width)}  ${text(figure)}`)].join(
    "\n",
  );
}

/** Volumes with nothing on them, as the records name them: on the ports that they had when the first index was made. */
async function keptShelf(keep: string): Promise<Shelf> {
  const file = join(keep, "ports.json");
  const ports = existsSync(file) ? { ports: JSON.parse(readFileSync(file, "utf8")) as number[] } : {};
  const shelf = await Shelf.start({ dir: join(keep, "volumes"), ...ports });
  writeFileSync(file, JSON.stringify(shelf.ports));
  return shelf;
}

async function keepLevel(
  shelf: Shelf,
  program: Program,
  { keep, keys }: { keep: string; keys: number },
): Promise<Kept> {
  const db = join(keep, `level-${keys}`);
  const made = await making(`an index of ${keys.toLocaleString("en")} keys`, existsSync(db), async () => {
    await writeIndex(`${db}.making`, entriesUpTo(keys, shelf.topology));
    renameSync(`${db}.making`, db);
  });
  const bytes = readdirSync(db).reduce((sum, name) => sum + statSync(join(db, name)).size, 0);
  return { program, db, keys, figures: { ...made, ...onDisk(bytes, keys) } };
}

async function keepPostgres(
  shelf: Shelf,
  program: Program,
  { keep, keys }: { keep: string; keys: number },
): Promise<Kept> {
  const server = program.postgres!;
  const [name, unfinished] = [`keys_${keys}`, `making_${keys}`];
  const found = await server.query("select 1 from pg_database where datname = $1", [name]);
  const level = found.length > 0 ? undefined : await keepLevel(shelf, program, { keep, keys });
  const made = await making(`a database of ${keys.toLocaleString("en")} keys`, level === undefined, async () => {
    await server.query(`drop database if exists ${unfinished} with (force)`);
    await server.query(`create database ${unfinished}`);
    await program.moveLedger(level!.db, server.urlOf(unfinished));
    await server.query(`alter database ${unfinished} rename to ${name}`);
  });
  const [row] = await server.query("select pg_database_size($1)::float8 as bytes", [name]);
  const figures = { ...made, ...onDisk(row!["bytes"] as number, keys) };
  return { program, db: server.urlOf(name), keys, figures };
}

async function making(what: string, isDone: boolean, work: () => Promise<void>): Promise<Scale["figures"]> {
  const startMs = performance.now();
  if (!isDone) {
    console.log(`making ${what}`);
    await work();
  }
  return { "made in, s": isDone ? "was there" : (performance.now() - startMs) / 1000 };
}

function onDisk(bytes: number, keys: number): Scale["figures"] {
  return { "on disk, MB": bytes / 1e6, "on disk, bytes a key": bytes / keys };
}

async function measure(
  shelf: Shelf,
  { keep, sizes: { seconds, pages } }: { keep: string; sizes: Sizes },
  { program, db, keys, figures }: Kept,
): Promise<Scale> {
  const flags = { ...shelf.flags, threads: 1, probe: "volume", heal: 0 };
  const startMs = performance.now();
  await using master = await program.serve(db, flags);
  const start = { "start, s": (performance.now() - startMs) / 1000, "start, MB resident": master.rssBytes() / 1e6 };
  const paths = upTo(askedKeys).map((n) => keyOf(mix(n) % keys));
  const file = pathsFile(shelf.folder, master.port, paths);
  const starts = upTo(pages).map((n) => mix(n) % (keys - 1_000));
  const askAbsent = () => wrk([master.port], { absentAmong: keys }, seconds);
  const askPresent = () => wrk([master.port], { file }, seconds);
  const cold = await metered(master.process, askPresent);
  if (!program.postgres) await readFolder(db);
  for (let i = 0; i < warmUps; i++) await askAbsent().then(askPresent);
  const absent = await metered(master.process, askAbsent);
  const present = await metered(master.process, askPresent);
  const page = await metered(master.process, () => askPages(master.port, starts));
  const memory = { "after that, MB resident": master.rssBytes() / 1e6, "peak, MB": master.peakRssBytes() / 1e6 };
  await master.stop();
  const why = `not measured: as with ${mostExported.toLocaleString("en")}`;
  const exported = keys > mostExported ? why : keys / (await program.run("export", db, shelf.flags)).seconds;
  return {
    title: `${keys.toLocaleString("en")} keys over ${program.postgres ? "PostgreSQL" : "LevelDB"}`,
    figures: {
      ...{ ...figures, ...start },
      ...served("first GETs of present keys, -probe volume", cold),
      ...served("GET absent", absent),
      ...served("GET present, -probe volume", present),
      ...{ "page of 1,000 keys, ms": 1000 / rateOf(page), "page of 1,000 keys, CPU µs": cpuUsOf(page)! },
      ...memory,
      "export, keys/s": exported,
      ...(await jobs(program, keep, keys)),
    },
  };
}

/** Has the system keep the files of an index in its memory, as far as there is room, as after a while of use. */
async function readFolder(db: string): Promise<void> {
  for (const name of readdirSync(db)) for await (const _ of Bun.file(join(db, name)).stream());
}

function served(name: string, result: Result): Scale["figures"] {
  return { [`${name}, req/s`]: rateOf(result), [`${name}, CPU µs`]: cpuUsOf(result)! };
}

/** A rebuild out of a file for each copy, and a verify of what it has made: one disk a volume, so that folders are full. */
async function jobs(program: Program, keep: string, keys: number): Promise<Scale["figures"]> {
  const why = `not measured: each key needs files, so at most ${mostWithFiles.toLocaleString("en")}`;
  if (keys > mostWithFiles) return { "rebuild, keys/s": why, "verify, keys/s": why };
  const dir = join(keep, "files");
  const marker = join(keep, "files.json"); // Written when all are there.
  const isFilled = existsSync(marker) && readFileSync(marker, "utf8") === String(keys);
  if (!isFilled) for (const path of [marker, dir]) rmSync(path, { recursive: true, force: true });
  await using shelf = await Shelf.start({ dir, subvolumes: 1 });
  if (!isFilled) {
    console.log(`making a file for each copy of ${keys.toLocaleString("en")} keys`);
    await shelf.storeSame(upTo(keys).map(keyOf));
  }
  writeFileSync(marker, String(keys));
  const db = await program.makeLedger(shelf);
  const rebuild = await program.run("rebuild", db, shelf.flags);
  const verify = await program.run("verify", db, shelf.flags);
  return { "rebuild, keys/s": keys / rebuild.seconds, "verify, keys/s": keys / verify.seconds };
}
