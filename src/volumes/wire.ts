// Owns the connections to volume servers, which are kept. Several times as fast as `fetch`, which stays for bodies that go
// out as a stream.
// 1. Questions (HEAD) share a few connections, several on the way in each. Everything else has a connection to itself: it
//    may take long, and no impatient question can cut it off. Questions that lose theirs that way are asked once more.
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
  const untilMs = performance.now() + options.timeoutMs;
  for (let attempt = 1; ; attempt++) {
    const connection = request.method === "HEAD" ? sharedConnection(server) : ownConnection(server);
    const wasUsed = connection.answers > 0;
    try {
      return await connection.send({ ...request, target }, untilMs - performance.now(), options.late);
    } catch (error) {
      if (!(error instanceof LostConnection)) throw error;
      if (attempt > 1 || !(wasUsed || error.isGivenUp)) throw error.cause ?? error;
    }
  }
}

const shared = new Map<string, Connection[]>();
const own = new Map<string, Connection[]>();

/** The first connection that is not busy: what is asked in one turn of the loop goes out in few writes. */
function sharedConnection(server: string): Connection {
  const pool = poolOf(shared, server);
  const free = pool.find((connection) => connection.waiting.length < limits.questionsAtOnce);
  if (free) return free;
  if (pool.length < limits.connectionsForQuestions) return open(server, pool);
  return pool.reduce((best, connection) => (connection.waiting.length < best.waiting.length ? connection : best));
}

function ownConnection(server: string): Connection {
  const pool = poolOf(own, server);
  return pool.find((connection) => connection.isIdle) ?? open(server, pool);
}

function poolOf(pools: Map<string, Connection[]>, server: string): Connection[] {
  const pool = pools.get(server) ?? [];
  if (pool.length === 0) pools.set(server, pool);
  return pool;
}

function open(server: string, pool: Connection[]): Connection {
  const opened = new Connection(server, () => pool.splice(pool.indexOf(opened), 1));
  pool.push(opened);
  return opened;
}
