// Owns what a store remembers beside its keys, in a table that all masters share.
import { type Memory, type MemoryPage } from "../ledger";
import { type Database } from "./connection";

/** The memory in this database. */
export class SharedMemory implements Memory {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async get(name: string): Promise<unknown> {
    const [row] = await this.#database.run("select value from mkv_memory where name = $1", [Buffer.from(name)]);
    return row && JSON.parse(row[0] as string);
  }

  async put(name: string, value: unknown): Promise<void> {
    const text = `insert into mkv_memory (name, value) values ($1, $2)
      on conflict (name) do update set value = excluded.value`;
    await this.#database.run(text, [Buffer.from(name), JSON.stringify(value)]);
  }

  async delete(name: string): Promise<void> {
    await this.#database.run("delete from mkv_memory where name = $1", [Buffer.from(name)]);
  }

  async page(prefix: string, { after, atMost }: { after?: string | undefined; atMost: number }): Promise<MemoryPage> {
    const from = after === undefined ? `name >= $1` : `name > $1`;
    const text = `select name, value from mkv_memory where ${from} and name < $2 order by name limit $3::int`;
    const end = Buffer.concat([Buffer.from(prefix), Buffer.of(0xff)]); // No UTF-8 has this byte.
    const rows = await this.#database.run(text, [Buffer.from(after ?? prefix), end, atMost]);
    return rows.map(([name, value]) => [(name as Buffer).toString(), JSON.parse(value as string)]);
  }
}
