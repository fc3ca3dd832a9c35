// Owns a PostgreSQL server of a test: Debian's, with data of its own, on a port of the kernel's choice.
import { SQL } from "bun";
import { chownSync, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { temporaryFolder, type Folder } from "./folder";
import { holding } from "./holding";
import { freePort } from "./ports";
import { contents, RunningProcess } from "./process";
import { until } from "./until";

const VERSIONS = "/usr/lib/postgresql";
const SETTINGS = [
  ...["fsync=off", "shared_buffers=16MB", "listen_addresses=127.0.0.1", "unix_socket_directories="],
  "dynamic_shared_memory_type=mmap", // In its folder: one that is killed leaves nothing in /dev/shm.
];

/** The folder of its programs; throws where it is not installed. */
function programs(): string {
  const [newest] = existsSync(VERSIONS) ? readdirSync(VERSIONS).sort().reverse() : [];
  if (!newest) throw new Error("PostgreSQL is not installed: apt-get install postgresql");
  return join(VERSIONS, newest, "bin");
}

/** It refuses to run as root. */
function asOther(command: string[]): string[] {
  return process.getuid!() === 0
    ? ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", ...command]
    : command;
}

export class Postgres implements AsyncDisposable {
  private process: RunningProcess | undefined;
  private client: SQL | undefined;

  constructor(
    readonly port: number,
    private readonly data: string,
    private readonly home: Folder,
    private readonly settings: readonly string[],
  ) {}

  /** What `-db` takes. */
  get url(): string {
    return this.urlOf("postgres");
  }

  /** The same of another of its databases. */
  urlOf(database: string): string {
    return `postgres://mkv@127.0.0.1:${this.port}/${database}`;
  }

  /** Runs a statement, as an operator would by hand. */
  async query(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    this.client ??= new SQL(this.url, { max: 1, connectionTimeout: 5 });
    return await this.client.unsafe(text, values);
  }

  /** Makes a user who must say a password. Returns a URL without it. */
  async addUser(name: string, password: string): Promise<string> {
    await this.query(`create role ${name} login superuser password '${password}'`);
    const file = join(this.data, "pg_hba.conf");
    writeFileSync(file, `host all ${name} 127.0.0.1/32 scram-sha-256\n${readFileSync(file, "utf8")}`);
    await this.query("select pg_reload_conf()");
    return this.url.replace("mkv@", `${name}@`);
  }

  async start(): Promise<void> {
    const settings = [...SETTINGS, ...this.settings, `port=${this.port}`].flatMap((setting) => ["-c", setting]);
    this.process = new RunningProcess({
      command: asOther([join(programs(), "postgres"), "-D", this.data, ...settings]),
    });
    const answers = () => this.query("select 1").catch(() => this.forget());
    await until(answers, { what: "PostgreSQL answers", deadlineMs: 30_000 });
  }

  /** Copies what it has now into this folder: as a standby that hears of nothing later. */
  async copyTo(data: string): Promise<void> {
    mkdirSync(data, { mode: 0o700 });
    if (process.getuid!() === 0) chownSync(data, ...idsOfNobody());
    const flags = ["--pgdata", data, "--checkpoint=fast", "--no-sync", "--host=127.0.0.1", `--port=${this.port}`];
    const command = asOther([join(programs(), "pg_basebackup"), ...flags, "--username=mkv"]);
    await using copying = new RunningProcess({ command, cwd: dirname(data) });
    if ((await copying.exited) !== 0) throw new Error(`pg_basebackup: ${copying.stderr}`);
    writeFileSync(join(data, "standby.signal"), "");
  }

  /** Ends it: by force, or at once but well. */
  async stop(signal: "SIGQUIT" | "SIGINT" = "SIGINT"): Promise<void> {
    this.forget();
    await this.process?.end(signal);
  }

  /** The same in another of its databases. */
  async queryIn(database: string, text: string): Promise<Record<string, unknown>[]> {
    const client = new SQL(this.urlOf(database), { max: 1, connectionTimeout: 5 });
    try {
      return await client.unsafe(text);
    } finally {
      await client.close();
    }
  }

  /** The processes that serve the connections of clients to this database. */
  async backendsOf(database: string): Promise<number[]> {
    const text = "select pid from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()";
    return (await this.query(text, [database])).map(({ pid }) => pid as number);
  }

  /** Stops this process, or the server's first one, if it is there; it is not told. */
  freeze(pid = this.process!.pid): Disposable {
    const signal = (name: NodeJS.Signals) => void (contents(`/proc/${pid}/stat`) && process.kill(pid, name));
    signal("SIGSTOP");
    return { [Symbol.dispose]: () => signal("SIGCONT") };
  }

  /** The same for all of it. */
  freezeAll(): Disposable {
    const frozen = new DisposableStack();
    const { pid } = this.process!;
    for (const one of [...this.process!.children(), pid]) frozen.use(this.freeze(one));
    return frozen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.forget();
    await this.process?.[Symbol.asyncDispose]();
    await this.home[Symbol.asyncDispose]();
  }

  private forget(): undefined {
    void this.client?.close({ timeout: 0 }).catch(() => {});
    this.client = undefined;
  }
}

export interface PostgresOptions {
  /** As its command line takes them: `shared_buffers=1GB`. */
  settings?: readonly string[];
  /** Where its data is, or is made; it stays there. A folder that goes with the server without. */
  data?: string;
  /** One of the kernel's choice without. */
  port?: number;
}

/** A server with an empty database, where everybody is let in as `mkv`. */
export async function startPostgres({ settings = [], data: kept, port }: PostgresOptions = {}): Promise<Postgres> {
  return await holding(async (held) => {
    const home = temporaryFolder();
    const data = kept ?? join(home.path, "data");
    const server = held.use(new Postgres(port ?? (await freePort()), data, home, settings));
    if (!existsSync(join(data, "PG_VERSION"))) await makeData(data);
    await server.start();
    return server;
  });
}

async function makeData(data: string): Promise<void> {
  mkdirSync(data, { mode: 0o700 });
  if (process.getuid!() === 0) chownSync(data, ...idsOfNobody());
  const flags = ["--no-sync", "--auth=trust", "--username=mkv", "--encoding=UTF8", "--locale=C"];
  const command = asOther([join(programs(), "initdb"), "-D", data, ...flags]);
  await using initdb = new RunningProcess({ command, cwd: dirname(data) });
  if ((await initdb.exited) !== 0) throw new Error(`initdb: ${initdb.stderr}`);
}

function idsOfNobody(): [uid: number, gid: number] {
  const [, , uid, gid] = /^nobody:.*$/m.exec(contents("/etc/passwd"))![0].split(":");
  return [Number(uid), Number(gid)];
}
