// Owns what is remembered of jobs beside the ledger: where one goes on that was killed, and what the last whole one found,
// whoever ran it; of a verify the metrics tell that.
//   "job " name -> JobMemory & {"boot"}    in the ledger's memory
// Where a job was counts only for as long as what it did still holds: not after a power cut, which the ledger may have lost
// something by and this memory not; not for a ledger that is not current, or made anew; not when a disk was replaced since.
import { bootId } from "../boot";
import { isConfigured } from "../format/volume";
import { type Memory } from "../ledger/ledger";
import { limits } from "../limits";
import { gauges } from "../metrics";
import { shaped } from "../shape";
import { forgetLeftOut } from "./hints";
import { forgetPutBack, putBackIds } from "./places/put-back";
import { type Store } from "./store";

export const rememberedJobs = ["rebalance", "verify"] as const;
export type RememberedJob = (typeof rememberedJobs)[number];

/** What is remembered of a job. Times are of the wall, in milliseconds. */
export type JobMemory = {
  /** The one that has begun and not ended. */
  readonly begun?: Begun | undefined;
  /** The last one that ended. */
  readonly ended?: Ended | undefined;
  /** What has been seen of places that were put back, as one that begins now is told. */
  readonly putBack?: readonly string[] | undefined;
};

/** A job on its way: everything up to where it is has been done, and nothing behind that. */
export type Begun = {
  /** What it is asked to do, and on which volumes, as text. */
  readonly task: string;
  readonly sinceMs: number;
  /** When this was written down. */
  readonly atMs: number;
  /** What it goes over: all keys, then all files, by their folders. */
  readonly over: "keys" | "files";
  /** The key, as in lists, or the folder that was the last; undefined at the beginning. */
  readonly after: string | undefined;
  readonly counts: Readonly<Record<string, number>>;
  /** What it tries again at its end. */
  readonly later: readonly unknown[];
  /** Of a verify: whether a record names a volume that is not the store's. */
  readonly isForeign: boolean;
  /** What had been seen, when it began, of places that were put back. */
  readonly putBack?: readonly string[] | undefined;
};

/** A job that went over everything. */
export type Ended = {
  readonly atMs: number;
  readonly seconds: number;
  readonly counts: Readonly<Record<string, number>>;
  /** Of a verify that has read every copy, and left nothing that is wrong: as in `Begun`. */
  readonly putBack?: readonly string[] | undefined;
};

const age = gauges("mkv_verify_age_seconds", "Seconds since a verify had compared everything.", []);
const found = gauges("mkv_verify_findings", "What the last verify that compared everything has found.", ["kind"]);

/** What a verify counts that is no finding. */
const others: ReadonlySet<string> = new Set(["keys", "files", "repaired", "bytes"]);

function jobName(job: RememberedJob): string {
  return `job ${job}`;
}

/** Whether this is the name of a job that is remembered. */
export function isRememberedJob(name: string): name is RememberedJob {
  return rememberedJobs.some((job) => job === name);
}

/** Undefined for what is damaged, and for what is none: the job begins anew. */
export function readJob(told: unknown): (JobMemory & { boot?: string }) | undefined {
  const place = { task: "", sinceMs: 0, atMs: 0, over: "", "after?": "", later: [], isForeign: false };
  const ofBoth = { atMs: 0, counts: { "*": 0 }, "putBack?": [""] };
  return shaped(told, { "begun?": { ...place, ...ofBoth }, "ended?": { ...ofBoth, seconds: 0 }, "boot?": "" });
}

/** What is remembered of a job. If where it was counts no more, its task is empty. */
export async function recallJob(
  { ledger: { memory, age }, topology, currentName }: Pick<Store, "ledger" | "topology" | "currentName">,
  job: RememberedJob,
): Promise<JobMemory> {
  const found = readJob(await memory.get(jobName(job)));
  const putBack = await putBackIds(memory, (place) => isConfigured(topology, currentName(place)));
  if (!found?.begun) return { ended: found?.ended, putBack };
  const { boot, begun, ended } = found;
  const isLater = putBack.some((id) => !begun.putBack?.includes(id)); // A disk has lost something since it began.
  const isStale = isLater || age !== "current" || boot !== bootId() || Date.now() - begun.atMs > limits.cursorKeptMs;
  return { ended, begun: isStale ? { ...begun, task: "" } : begun, putBack };
}

/** Remembers a job. Places that were put back before a verify which proves all copies right are forgotten. */
export async function rememberJob(memory: Memory, job: RememberedJob, { begun, ended }: JobMemory): Promise<void> {
  await memory.put(jobName(job), { begun, ended, boot: bootId() });
  if (!ended || begun) return;
  if (ended.putBack) await forgetPutBack(memory, ended.putBack);
  if (job === "rebalance") await forgetLeftOut(memory, ended.atMs - 1000 * ended.seconds);
}

/** Has every job begin anew: what those have done that were killed holds no more. */
export async function forgetBegun(memory: Memory): Promise<void> {
  for (const job of rememberedJobs) {
    const found = readJob(await memory.get(jobName(job)));
    if (found?.begun) await rememberJob(memory, job, { ...found, begun: { ...found.begun, task: "" } });
  }
}

/** Tells of the last verify until it is disposed of: one thread does so for all. */
export function tellOfVerify(memory: Memory): Disposable {
  const look = async () => {
    const { ended } = readJob(await memory.get(jobName("verify"))) ?? {};
    if (!ended) return;
    age.of().set((Date.now() - ended.atMs) / 1000);
    for (const [kind, count] of Object.entries(ended.counts)) if (!others.has(kind)) found.of(kind).set(count);
  };
  const tell = () => void look().catch(() => {}); // The ledger cannot be asked: other metrics say so.
  const timer = setInterval(tell, limits.cursorMs);
  tell();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
