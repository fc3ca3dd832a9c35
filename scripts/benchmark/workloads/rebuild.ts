// Owns the rebuild of an index out of the listings of the volumes: many small folders, and few that are full.
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Bench, compare } from "../compare";
import { demand } from "../failure";
import { jobSide } from "../programs";
import { wrk } from "../traffic";
import { Shelf, keyOf, upTo } from "../values";

const connections = 48; // Of each of 16 folders, one of each of three volumes.

/** As a store looks that has a few values in each folder. */
export async function rebuild(bench: Bench): Promise<void> {
  await rebuilds(bench, "rebuild, small folders", { subvolumes: 10, keys: upTo(bench.sizes.rebuildKeys).map(keyOf) });
}

/** As a store looks that has many values in each folder, were it not for all the other folders. */
export async function folders({ sizes, ...bench }: Bench): Promise<void> {
  const keys: string[] = [];
  const hash = new Uint8Array(16);
  for (let n = 0; keys.length < sizes.fullFolders * sizes.filesOfFolder; n++) {
    if (n % 1e6 === 0) await Bun.sleep(0); // Most names are of other folders: a signal is not to wait for the end.
    Bun.MD5.hash(`/folders/${n}`, hash);
    if (hash[0]! * 256 + hash[1]! < sizes.fullFolders) keys.push(`/folders/${n}`);
  }
  await rebuilds({ sizes, ...bench }, "rebuild, few full folders", { subvolumes: 1, keys });
}

async function rebuilds(
  bench: Bench,
  title: string,
  { subvolumes, keys }: { subvolumes: number; keys: readonly string[] },
): Promise<void> {
  await using shelf = await Shelf.start({ subvolumes });
  await shelf.storeSame(keys);
  const right = new Map(keys.map((key) => [key, shelf.volumesOf(key).join(",")]));
  const file = join(shelf.folder, "listings");
  const listings = shelf.volumes.flatMap(({ dir, port }) => foldersBelow(dir).map((path) => `${port} ${path}\n`));
  writeFileSync(file, listings.join(""));
  await compare(bench, { title, unit: "files/s", wanted: "0.6 x" }, [
    {
      name: "wrk, same listings",
      async measure() {
        const { items, seconds } = await wrk(shelf.ports, { file }, bench.sizes.seconds, connections);
        return { items: (items * 3 * keys.length) / listings.length, seconds };
      },
    },
    ...bench.programs.map((program) =>
      jobSide(program, shelf, {
        ...{ name: "rebuild", items: 3 * keys.length },
        check(made) {
          demand(made.length === keys.length, `${program.name} has found ${made.length} of ${keys.length} keys`);
          for (const [key, record] of made) {
            demand(record === right.get(key), `${program.name}: ${key} is on ${record}, not ${right.get(key)}`);
          }
        },
      }),
    ),
  ]);
}

/** The folders of values that a walk over a volume lists. */
function foldersBelow(dir: string): string[] {
  const entries = readdirSync(dir, { withFileTypes: true, recursive: true });
  const paths = entries.filter((entry) => entry.isDirectory()).map(({ parentPath, name }) => join(parentPath, name));
  return ["/", ...paths.map((path) => `${path.slice(dir.length)}/`)].filter((path) => !/\/(\.|mkv\/)/.test(path));
}
