// Owns PostgreSQL beside LevelDB: the same master over the one and over the other.
import { startPostgres } from "../../../test/support/postgres";
import { type Bench } from "../compare";
import { Program } from "../programs";
import { absent, get } from "./get";
import { list } from "./list";
import { rounds } from "./rounds";

/** PostgreSQL does not wait for the disk (fsync=off), as LevelDB does not without -sync. */
export async function postgres(bench: Bench): Promise<void> {
  const started = await startPostgres({ settings: ["shared_buffers=256MB"] }).catch((error: Error) => error);
  if (started instanceof Error) return console.log(`postgres: left out: ${started.message}`);
  await using server = started;
  const { name, binary } = bench.programs[0]!;
  const programs = [new Program(`${name}, LevelDB`, binary), new Program(`${name}, PostgreSQL`, binary, server)];
  const sizes = { ...bench.sizes, listKeys: bench.sizes.postgresKeys };
  for (const workload of [rounds, get, absent, list]) await workload({ ...bench, sizes, programs, beside: "ledger: " });
  await server.stop();
}
