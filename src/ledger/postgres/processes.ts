// Owns who is at work on the store: masters and jobs, or a rebuild, which must be alone.
// 1. Each writes down that it is there, then looks who else is: of a rebuild and a master one sees the other.
// 2. Who has not said for `absentMs` that it is there is gone. If it was only stopped, it finds other rows than it left.
import { hostname } from "node:os";
import { MkvError, reasonOf } from "../../errors";
import { databaseLimits } from "../../database-limits";
import { warn } from "../../log";
import { type Database } from "./connection";

type ProcessKind = keyof typeof kindsOf;

/** What they are for people. */
const kindsOf = { master: "master or job", rebuild: "rebuild or import" } as const;

const say = `insert into mkv_processes (id, kind, name, seen) values ($1::uuid, $2, $3, now())
  on conflict (id) do update set seen = excluded.seen`;

/** Run late, when the process has left, it brings nothing back. */
const sayAgain = `update mkv_processes set seen = now() where id = $1::uuid returning 1`;

const others = `select kind, name from mkv_processes
  where id <> $1::uuid and seen > now() - $2::float8 * interval '1 millisecond' order by name`;

const forgetOld = `delete from mkv_processes where seen < now() - interval '1 day'`;

/** That a process is at work; disposing of it ends that. */
export type Presence = AsyncDisposable & {
  /** Throws MkvError failed if a rebuild is at work, or this is one and others are. */
  requireRoom(): Promise<void>;
  /** A query that finds a row for as long as others see that it is. */
  readonly isPresent: string;
};

/** Says that this process is at work. Throws as `requireRoom`. */
export async function enter(database: Database, kind: ProcessKind): Promise<Presence> {
  const id = crypto.randomUUID();
  const values = [id, kind, `${hostname()}, process ${process.pid}`];
  const leave = async () => void (await database.run("delete from mkv_processes where id = $1::uuid", [id]));
  const requireRoom = async () => {
    const there = (await database.run(others, [id, databaseLimits.absentMs])) as [ProcessKind, string][];
    const inTheWay = there.filter(([other]) => kind === "rebuild" || other === "rebuild");
    if (inTheWay.length === 0) return;
    const who = inTheWay.map(([other, name]) => `a ${kindsOf[other]} on ${name}`).join("; ");
    const advice = kind === "rebuild" ? "stop it first" : "wait until it has ended";
    const seconds = databaseLimits.absentMs / 1000;
    throw new MkvError("failed", `at work on this store: ${who}: ${advice} (one that died is gone after ${seconds} s)`);
  };
  await database.run(forgetOld);
  await database.run(say, values);
  try {
    await requireRoom();
  } catch (error) {
    await leave();
    throw error;
  }
  let hasLeft = false;
  const stay = async () => {
    const rows = await database.run(sayAgain, [id]);
    if (rows.length === 0 && !hasLeft) await database.run(say, values); // The database was put back.
  };
  const timer = setInterval(() => void stay().catch(() => {}), databaseLimits.presentMs).unref(); // The next one says it.
  return {
    requireRoom,
    isPresent: `select from mkv_processes
      where id = '${id}'::uuid and seen > clock_timestamp() - ${databaseLimits.absentMs} * interval '1 millisecond'`,
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      hasLeft = true;
      await leave().catch((error) => warn(reasonOf(error)));
    },
  };
}
