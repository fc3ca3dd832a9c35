// Owns who is at work on the store: masters and jobs, or a rebuild, which must be alone.
// 1. Each writes down that it is there, then looks who else is: of a rebuild and a master one sees the other.
// 2. Who has not said for `absentMs` that it is there is gone. If it was only cut off, it ends when it finds a rebuild; and
//    what a rebuild has made counts for nothing if anybody else was there since it began: what that one has acknowledged
//    may be missing there. So a master that leaves is kept in mind.
import { hostname } from "node:os";
import { MkvError, reasonOf } from "../../errors";
import { databaseLimits } from "../../database-limits";
import { warn } from "../../log";
import { type Database } from "./connection";

type ProcessKind = keyof typeof kindsOf;

/** What they are for people. */
const kindsOf = { master: "master or job", rebuild: "rebuild or import" } as const;

const say = `insert into mkv_processes (id, kind, name, seen) values ($1::uuid, $2, $3, now())
  on conflict (id) do update set seen = excluded.seen returning seen::text`;

/** Run late, when the process has left, it brings nothing back. */
const sayAgain = `update mkv_processes set seen = now() where id = $1::uuid and kind <> 'left' returning 1`;

const others = `select kind, name from mkv_processes
  where id <> $1::uuid and kind <> 'left' and seen > now() - $2::float8 * interval '1 millisecond' order by name`;

const markLeft = "update mkv_processes set kind = 'left', seen = now() where id = $1::uuid";

const forget = "delete from mkv_processes where id = $1::uuid";

const forgetOld = `delete from mkv_processes where seen < now() - interval '1 day'`;

/** That a process is at work; disposing of it ends that. */
export type Presence = AsyncDisposable & {
  /** A query that finds a row for as long as others see that it is, if nobody else was there since it began. */
  readonly isAlone: string;
};

/**
 * Says that this process is at work.
 * @param onRebuild is told why a master must end that finds a rebuild at work, after it was cut off
 * @throws MkvError failed if a rebuild is at work, or this is one and others are
 */
export async function enter(
  database: Database,
  kind: ProcessKind,
  onRebuild: (why: string) => void = () => {},
): Promise<Presence> {
  const id = crypto.randomUUID();
  const values = [id, kind, `${hostname()}, process ${process.pid}`];
  const inTheWay = async (): Promise<string | undefined> => {
    const there = (await database.run(others, [id, databaseLimits.absentMs])) as [ProcessKind, string][];
    const found = there.filter(([other]) => kind === "rebuild" || other === "rebuild");
    if (found.length === 0) return undefined;
    const who = found.map(([other, name]) => `a ${kindsOf[other]} on ${name}`).join("; ");
    const advice = kind === "rebuild" ? "stop it first" : "wait until it has ended";
    const seconds = databaseLimits.absentMs / 1000;
    return `at work on this store: ${who}: ${advice} (one that died is gone after ${seconds} s)`;
  };
  const requireRoom = async () => {
    const why = await inTheWay();
    if (why !== undefined) throw new MkvError("failed", why);
  };
  await requireRoom(); // One that is started again and again is not seen by a rebuild.
  const [began] = await database.run(say, values);
  try {
    await requireRoom();
  } catch (error) {
    await database.run(forget, [id]);
    throw error;
  }
  await database.run(forgetOld); // Of whom no rebuild needs to know.
  let hasLeft = false;
  const leave = async () => {
    clearInterval(timer);
    hasLeft = true;
    await database.run(kind === "master" ? markLeft : forget, [id]);
  };
  const stay = async () => {
    const rows = await database.run(sayAgain, [id]);
    if (rows.length === 0 && !hasLeft) await database.run(say, values); // The database was put back.
    const why = kind === "master" ? await inTheWay() : undefined;
    if (why === undefined || hasLeft) return;
    await leave().catch(() => {}); // It has been seen just now.
    onRebuild(why);
  };
  const timer = setInterval(() => void stay().catch(() => {}), databaseLimits.presentMs).unref(); // The next one says it.
  return {
    isAlone: `select from mkv_processes
      where id = '${id}'::uuid and seen > clock_timestamp() - ${databaseLimits.absentMs} * interval '1 millisecond'
      and not exists (select from mkv_processes where id <> '${id}'::uuid and seen > '${began![0]}'::timestamptz)`,
    [Symbol.asyncDispose]: () => leave().catch((error) => warn(reasonOf(error))),
  };
}
