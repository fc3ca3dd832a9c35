// Owns the connections to volume servers, which are kept. Several times as fast as `fetch`, which stays for bodies that go
// out as a stream.
// 1. Questions (HEAD) share connections: those of one turn of the loop go out in few writes. So do listings of `/HH/hh/`:
//    all of one connection are of one turn, and whoever reads one of them waits for none but earlier ones, wherever they
//    come from. Everything else has a connection to itself: it may take long, and no impatient question can cut it off.
//    Requests that lose theirs that way are sent once more.
// 2. A request on a connection that the server had kept open and closes is sent once more: each may be repeated. A write or
//    delete is never repeated after silence: the first might land later, after a newer one.
import { type MkvError } from "../errors";
import { limits } from "../limits";
import { type Answer, Connection, LostConnection, type WireRequest } from "./connection";
import { serverOf } from "./health";

/** A request to a volume, `host:port` or `host:port/path`; `path` is below it. */
export type VolumeRequest = Omit<WireRequest, "target"> & { readonly volume: string; readonly path: string };

/**
 * Sends a request and waits for the head of its answer. The body of a GET that was answered with 200 must be read or closed.
 * @param options.late makes the error for an answer that has not come within `timeoutMs`
 * @throws what `late` makes; MkvError volume-failed; an Error with a `code` or message of the socket's
 */
export async function exchange(
  { volume, path, ...request }: VolumeRequest,
  options: { timeoutMs: number; late: () => MkvError },
): Promise<Answer> {
  const server = serverOf(volume);
  const target = volume.slice(server.length) + path;
  const kind = request.method === "HEAD" ? "question" : isOfHash(request.method, path) ? "listing" : "alone";
  const untilMs = performance.now() + options.timeoutMs;
  for (let attempt = 1; ; attempt++) {
    const connection = connectionFor(kind, server, { isNew: attempt > 1 }); // A second old one may be dead as well.
    const wasUsed = connection.answers > 0;
    try {
      return await connection.send({ ...request, target }, untilMs - performance.now(), options.late);
    } catch (error) {
      if (!(error instanceof LostConnection)) throw error;
      if (attempt > 1 || !(wasUsed || error.isGivenUp)) throw error.cause ?? error;
    }
  }
}

const pools = new Map<string, Connection[]>();

function connectionFor(
  kind: "question" | "listing" | "alone",
  server: string,
  { isNew }: { isNew: boolean },
): Connection {
  const name = `${server} ${kind}`;
  const pool = pools.get(name) ?? [];
  if (pool.length === 0) pools.set(name, pool);
  if (isNew) return open(server, pool);
  const free = pool.find((connection) => connection.isIdle || (kind !== "alone" && connection.isFilling));
  if (free) return free;
  if (kind !== "question" || pool.length < limits.connectionsForQuestions) return open(server, pool);
  return pool.reduce((best, connection) => (connection.waiting.length < best.waiting.length ? connection : best));
}

function open(server: string, pool: Connection[]): Connection {
  const opened = new Connection(server, () => pool.splice(pool.indexOf(opened), 1));
  pool.push(opened);
  return opened;
}

/** Whether this asks for the listing of a folder `/HH/hh/`: those below, where some names go on, are asked for alone. */
function isOfHash(method: WireRequest["method"], path: string): boolean {
  return method === "GET" && path.length === "/HH/hh/".length && path.endsWith("/");
}
