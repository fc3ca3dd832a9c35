// Owns what a store remembers beside its keys, in a table that all masters share.
// A statement changes only the version of a row that was seen: one that was given up, and runs late, changes nothing newer.
// What it can do at worst is to bring back what was new, and has been deleted since.
import { parsed } from "../../shape";
import { type Memory } from "../ledger";
import { type Database, type Row } from "./connection";

export type SharedMemory = Memory & { get(name: string): Promise<unknown> };

export function sharedMemory(database: Database): SharedMemory {
  /** Changes the row as it was seen, which is its version; anew if that was changed meanwhile, and has brought back no row. */
  async function change(
    name: string,
    by: (seen: Row | undefined) => Promise<readonly Row[]> | undefined,
  ): Promise<void> {
    for (;;) {
      const [seen] = await database.run("select version from mkv_memory where name = $1", [Buffer.from(name)]);
      const changed = await by(seen);
      if (!changed || changed.length > 0) return;
    }
  }
  return {
    async get(name) {
      const [row] = await database.run("select value from mkv_memory where name = $1", [Buffer.from(name)]);
      return row && parsed(row[0] as string);
    },
    async put(name, value) {
      const values = [Buffer.from(name), JSON.stringify(value), crypto.randomUUID()];
      await change(name, (seen) => database.run(seen ? replaceRow : addRow, [...values, ...(seen ?? [])]));
    },
    async delete(name) {
      await change(name, (seen) => seen && database.run(deleteRow, [Buffer.from(name), ...seen]));
    },
    async page(prefix, { after, atMost }) {
      const from = after === undefined ? `name >= $1` : `name > $1`;
      const text = `select name, value from mkv_memory where ${from} and name < $2 order by name limit $3::int`;
      const end = Buffer.concat([Buffer.from(prefix), Buffer.of(0xff)]); // No UTF-8 has this byte.
      const rows = await database.run(text, [Buffer.from(after ?? prefix), end, atMost]);
      return rows.map(([name, value]) => [(name as Buffer).toString(), parsed(value as string)]);
    },
  };
}

// Each may be tried twice by `Database.run`, and finds its own version the second time. Rows of old have none.
const addRow = `insert into mkv_memory (name, value, version) values ($1, $2, $3::uuid)
  on conflict (name) do update set value = excluded.value where mkv_memory.version = excluded.version returning 1`;

const replaceRow = `update mkv_memory set value = $2, version = $3::uuid
  where name = $1 and (version is not distinct from $4::uuid or version = $3::uuid) returning 1`;

const deleteRow = `delete from mkv_memory where name = $1 and version is not distinct from $2::uuid returning 1`;
