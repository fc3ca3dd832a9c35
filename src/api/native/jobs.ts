// Owns what a job asks of a running master (`jobs/master.ts` asks it): one key at a time, under its claim.
//   POST /key?rebalance[&md5]              204, Key-Moved, Key-Left-Behind
//   POST /key?examine[&md5][&repair][&forget] 200 {"findings": [{"problem", "line"}], "isRepaired", "failure"?}
//   POST /key?orphan=VOLUME[&repair][&remove]   200 {"state", "why"?}
//   POST /?adopt=NAME                      204
//   POST /?records, [shown key, ...]       200 [record | null, ...]
import { withDeadline } from "../../deadline";
import { MkvError } from "../../errors";
import { type Key, readShown } from "../../format/key";
import { limits } from "../../limits";
import { healKey } from "../../store/heal";
import { type Moved, moveKey } from "../../store/move";
import { lookAtOrphan } from "../../store/orphan";
import { adoptPlace } from "../../store/places";
import { type Store, recordText } from "../../store/store";
import { announcedBytes } from "../framing";
import { empty } from "../respond";
import { type Parameter } from "../url";

/** Whether a POST with this operation is for `answerJob`, and nothing else is. */
export function isJob(operation: string): boolean {
  return ["rebalance", "examine", "orphan", "adopt"].includes(operation);
}

/** Answers a POST. Throws MkvError forbidden for what is no operation, and what the operation throws. */
export async function answerJob(
  store: Store,
  key: Key,
  { operation, parameters, request }: { operation: Parameter; parameters: readonly Parameter[]; request: Request },
): Promise<Response> {
  const has = (name: string) => parameters.some((parameter) => parameter.name === name);
  const depth = has("md5") ? "md5" : "length";
  switch (operation.name) {
    case "rebalance":
      return await moveKey(store, key, depth).then(moved, asBadRequest);
    case "examine":
      return Response.json(await healKey(store, key, { depth, repair: has("repair"), forget: has("forget") }));
    case "orphan": {
      const volume = Buffer.from(operation.value).toString();
      return Response.json(await lookAtOrphan(store, key, { volume, repair: has("repair"), remove: has("remove") }));
    }
    case "adopt":
      await adoptPlace(store, Buffer.from(operation.value).toString());
      return empty(204);
    case "records": {
      const keys = (await readKeys(request)).map((shown) => readShown(Buffer.from(shown)) as Uint8Array as Key);
      return Response.json(await Promise.all(keys.map(async (key) => (await recordText(store, key)) ?? null)));
    }
    default:
      throw new MkvError("forbidden", `there is no operation "${operation.name}" for POST`);
  }
}

function moved({ changed, leftBehind }: Moved): Response {
  return empty(204, { "key-moved": String(changed), "key-left-behind": String(leftBehind.length) });
}

function asBadRequest(error: unknown): never {
  if (!(error instanceof MkvError) || error.code === "absent" || error.code === "busy") throw error;
  throw new MkvError("bad-request", `could not rebalance: ${error.message}`, { cause: error });
}

/** The keys in the body of a request. Throws MkvError bad-request, too-many, client-slow. */
async function readKeys(request: Request): Promise<string[]> {
  const bytes = announcedBytes(request);
  if (bytes === undefined || !(bytes <= limits.keyListBytes))
    throw new MkvError("too-many", `at most ${limits.keyListBytes} bytes of keys`);
  const slow = () => new MkvError("client-slow", "the client sends its keys too slowly");
  const keys: unknown = await withDeadline(limits.listingMs, request.json(), slow).catch((error) => {
    throw error instanceof MkvError ? error : new MkvError("bad-request", "the body is a JSON array of keys");
  });
  if (Array.isArray(keys) && keys.length <= limits.batchRecords && keys.every((key) => typeof key === "string"))
    return keys;
  throw new MkvError("bad-request", `the body is a JSON array of at most ${limits.batchRecords} keys`);
}
