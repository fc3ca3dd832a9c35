// Owns what a job asks of a running master (`jobs/master.ts` asks it): one key at a time, under its claim.
//   POST /key?rebalance[&md5][&rate=BYTES] 204, Key-Moved, Key-Left-Behind, Key-Bytes
//   POST /key?examine[&md5][&repair][&forget] 200 {"findings": [{"problem", "line"}], "isRepaired", "failure"?}, Key-Bytes
//   POST /key?orphan=VOLUME[&repair][&remove]   200 {"state", "why"?}
//   POST /key?staged=VOLUME[&repair][&remove]   the same of what is staged of the key
//   ... each of them with &dry-run: the same answer, and nothing is changed
//   POST /?adopt=NAME                      204
//   POST /?records, [shown key, ...]       200 [record | null, ...]
//   GET /?job=NAME                         200 what is remembered of this job (`store/job-memory.ts`)
//   POST /?job=NAME, the same              204
//   GET /?topology                         200 {"volumes", "replicas", "subvolumes"}
import { withDeadline } from "../../deadline";
import { MkvError } from "../../errors";
import { type Key, keyOf } from "../../format/key";
import { limits } from "../../limits";
import { counters, gauges } from "../../metrics";
import { healKey } from "../../store/heal";
import { type RememberedJob, isRememberedJob, readJob, recallJob, rememberJob } from "../../store/job-memory";
import { type Moved, moveKey } from "../../store/move";
import { lookAtOrphan } from "../../store/orphan";
import { type Pace, paceOf } from "../../store/pace";
import { adoptPlace } from "../../store/adopt";
import { recordText } from "../../store/find";
import { type Store } from "../../store/store";
import { announcedBytes } from "../body";
import { empty } from "../respond";
import { type Parameter } from "../url";

const asked = counters("mkv_job_keys_total", "Keys that a job has asked this master about.", ["job"]);
const inHand = gauges("mkv_job_keys_in_hand", "Questions of a job that this master is at work on.", ["job"]);

/** Counts a question of a job about so many keys, which is being worked on until this is disposed of. */
function begin(job: "rebalance" | "verify", keys = 1): Disposable {
  asked.of(job).add(keys);
  inHand.of(job).add();
  return { [Symbol.dispose]: () => inHand.of(job).add(-1) };
}

/** Answers a POST. Throws MkvError forbidden for what is no operation, and what the operation throws. */
export async function answerJob(
  store: Store,
  key: Key,
  { operation, parameters, request }: { operation: Parameter; parameters: readonly Parameter[]; request: Request },
): Promise<Response> {
  const has = (name: string) => parameters.some((parameter) => parameter.name === name);
  const depth = has("md5") ? "md5" : "length";
  const dryRun = has("dry-run");
  switch (operation.name) {
    case "rebalance": {
      using _asked = begin("rebalance");
      return await moveKey(store, key, { depth, dryRun, pace: paceIn(parameters) }).then(moved, asBadRequest);
    }
    case "examine": {
      using _asked = begin("verify");
      const how = { depth, dryRun, repair: has("repair"), forget: has("forget") } as const;
      const { bytes = 0, ...healed } = await healKey(store, key, how);
      return Response.json(healed, { headers: { "key-bytes": String(bytes) } });
    }
    case "orphan":
    case "staged": {
      using _asked = begin("verify");
      const volume = Buffer.from(operation.value).toString();
      const look = { place: operation.name, volume, repair: has("repair"), remove: has("remove"), dryRun } as const;
      return Response.json(await lookAtOrphan(store, key, look));
    }
    case "adopt":
      await adoptPlace(store, Buffer.from(operation.value).toString());
      return empty(204);
    case "records": {
      const told = await readJson(request, "a JSON array of keys");
      const isKeys = Array.isArray(told) && told.every((shown) => typeof shown === "string");
      if (!isKeys || told.length > limits.batchRecords)
        throw new MkvError("bad-request", `the body is a JSON array of at most ${limits.batchRecords} keys`);
      const keys = told.map(keyOf);
      using _asked = begin("verify", keys.length);
      return Response.json(await Promise.all(keys.map(async (key) => (await recordText(store, key)) ?? null)));
    }
    case "job": {
      const told = await readJson(request, "a JSON object");
      const memory = readJob(told);
      if (!memory) throw new MkvError("bad-request", "the body is a JSON object, as a job remembers it");
      await rememberJob(store.ledger.memory, jobIn(operation), memory);
      return empty(204);
    }
    default:
      throw new MkvError("forbidden", `there is no operation "${operation.name}" for POST`);
  }
}

/** Answers a GET of what jobs must know. Throws MkvError bad-request. */
export async function answerJobQuestion(store: Store, operation: Parameter): Promise<Response> {
  if (operation.name === "topology") return Response.json(store.topology);
  return Response.json(await recallJob(store, jobIn(operation)));
}

function jobIn({ value }: Parameter): RememberedJob {
  const name = Buffer.from(value).toString();
  if (isRememberedJob(name)) return name;
  throw new MkvError("bad-request", `there is no job "${name}" that is remembered`);
}

function moved({ changed, leftBehind, bytes }: Moved): Response {
  const counts = { "key-left-behind": String(leftBehind.length), "key-bytes": String(bytes) };
  return empty(204, { "key-moved": String(changed), ...counts });
}

/** How fast copies may be made, in bytes a second, if that was asked for. Throws MkvError bad-request. */
function paceIn(parameters: readonly Parameter[]): Pace | undefined {
  const rate = parameters.find(({ name }) => name === "rate");
  if (!rate) return undefined;
  const text = Buffer.from(rate.value).toString();
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new MkvError("bad-request", "rate is a whole number of bytes a second");
  return paceOf(Number(text));
}

function asBadRequest(error: unknown): never {
  if (!(error instanceof MkvError) || ["absent", "busy", "away"].includes(error.code)) throw error;
  throw new MkvError("bad-request", `could not rebalance: ${error.message}`, { cause: error });
}

/** Bytes of the bodies that this thread reads, or waits for. */
let bodiesBytes = 0;

/** The body of a request. Throws MkvError bad-request, too-many, client-slow; unavailable if too much is read already. */
async function readJson(request: Request, what: string): Promise<unknown> {
  const bytes = announcedBytes(request);
  if (bytes === undefined || !(bytes <= limits.jobBodyBytes))
    throw new MkvError("too-many", `at most ${limits.jobBodyBytes} bytes, with their length`);
  if (bodiesBytes + bytes > limits.jobBodiesBytes)
    throw new MkvError("unavailable", "too many requests of jobs are still being sent: try again");
  const slow = () => new MkvError("client-slow", "the client sends its body too slowly");
  bodiesBytes += bytes;
  try {
    return await withDeadline(limits.jobBodyMs, request.json(), slow);
  } catch (error) {
    throw error instanceof MkvError ? error : new MkvError("bad-request", `the body is ${what}`);
  } finally {
    bodiesBytes -= bytes;
  }
}
