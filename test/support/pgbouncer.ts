// Owns a pgbouncer of a test: Debian's, between whoever connects and a PostgreSQL server of a test.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryFolder } from "./folder";
import { freePort } from "./ports";
import { type Postgres } from "./postgres";
import { RunningProcess } from "./process";

/** How it lends the sessions of the server: for as long as a connection lasts, or for a transaction. */
export type PoolMode = "session" | "transaction";

/** One for this database, over a single session, or as many as it takes. It renames no prepared statements. */
export async function startPgbouncer(server: Postgres, { mode, database }: { mode: PoolMode; database: string }) {
  await using held = new AsyncDisposableStack();
  const folder = held.use(temporaryFolder());
  const port = await freePort();
  const [version] = Bun.spawnSync([program(), "--version"])
    .stdout.toString()
    .match(/\d+\.\d+/)!;
  const settings = [
    "[databases]",
    `${database} = host=127.0.0.1 port=${server.port} user=mkv`,
    "[pgbouncer]",
    ...["listen_addr = 127.0.0.1", `listen_port = ${port}`, "unix_socket_dir =", "auth_type = any"],
    ...[`pool_mode = ${mode}`, `default_pool_size = ${mode === "session" ? 50 : 1}`],
    ...(Bun.semver.order(`${version}.0`, "1.21.0") < 0 ? [] : ["max_prepared_statements = 0"]),
  ];
  const file = join(folder.path, "pgbouncer.ini");
  writeFileSync(file, settings.join("\n"));
  const asOther = process.getuid!() === 0 ? ["-u", "nobody"] : []; // It refuses to run as root.
  const bouncer = held.use(new RunningProcess({ command: [program(), ...asOther, file] }));
  await bouncer.says(/listening on 127\.0\.0\.1:/);
  const owned = held.move();
  return {
    url: `postgres://mkv@127.0.0.1:${port}/${database}`,
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

function program(): string {
  const found = Bun.which("pgbouncer") ?? Bun.which("pgbouncer", { PATH: "/usr/sbin" });
  if (!found) throw new Error("pgbouncer is not installed: apt-get install pgbouncer");
  return found;
}
