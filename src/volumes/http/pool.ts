// Owns the connections to volume servers, which are kept. Several times as fast as `fetch`, which stays for bodies that go
// out as a stream.
// 1. Questions (HEAD) share connections: those of one turn of the loop go out in few writes. So do listings of `/HH/hh/`, but
//    only those of one turn: else two readers could each wait for an answer that comes after one which the other has yet to
//    read. Everything else has a connection to itself: it may take long, and no impatient question can cut it off. Requests
//    that lose theirs that way are sent once more.
// 2. A request on a connection that the server had kept open and closes is sent once more: each may be repeated. A write or
//    delete is never repeated after silence: the first might land later, after a newer one.
// 3. A kept connection on which nothing was said for a while may have been forgotten on the way, by a firewall. A question
//    that it does not answer soon is asked anew on a fresh one. Anything else is sent only when it has answered a question.
// 4. Those to a server that has another address now are used no more, and those that nobody uses are closed: after a rush they
//    would be open files that clients could have.
// 5. A connection that a host neither takes nor refuses is an open file for minutes, whoever has given it up. With some of those
//    another one is only tried once in a while.
import { MkvError } from "../../errors";
import { limits } from "../../limits";
import { belowServer, serverOf } from "../../format/volume";
import { Addresses } from "./addresses";
import { type Answer, Connection, LostConnection, type WireRequest } from "./connection";

/** A request to a volume, `host:port` or `host:port/path`; `path` is below it. */
export type VolumeRequest = Omit<WireRequest, "target"> & { readonly volume: string; readonly path: string };

/** The connections of a thread. */
export class Pools {
  readonly #pools = new Map<string, Pool>();
  readonly #addresses = new Addresses((name) => this.#leave(name));
  #sweeping: Timer | undefined;

  /** @param onMove told of a server that has another address now, where somebody else may answer */
  constructor(readonly onMove: (server: string) => void = () => {}) {}

  /**
   * Sends a request and waits for the head of its answer. The body of a GET that was answered with 200 must be read or
   * closed.
   * @param options.onTimeout makes the error for an answer that has not come within `timeoutMs`
   * @throws what `onTimeout` makes; MkvError volume-failed; an Error with a `code` or message of the socket's
   */
  async exchange(
    { volume, path, method, headers, body }: VolumeRequest,
    { timeoutMs, onTimeout }: { timeoutMs: number; onTimeout: () => MkvError },
  ): Promise<Answer> {
    const server = serverOf(volume);
    const request = { method, target: belowServer(volume) + path, headers, body };
    const pool = this.#poolOf(kindOf(method, path), server);
    const connection = this.#connectionOf(pool, this.#addresses.hostFor(pool.name));
    const wasUsed = connection.answers > 0;
    const untilMs = performance.now() + timeoutMs;
    const forgotten = () => new LostConnection(undefined, true);
    const renewMs = Math.min(limits.renewMs, timeoutMs / 2);
    try {
      if (!connection.isQuiet) return await connection.send(request, timeoutMs, onTimeout);
      if (method === "HEAD" || method === "GET") return await connection.send(request, renewMs, forgotten);
      await connection.check(renewMs, forgotten);
      return await connection.send(request, untilMs - performance.now(), onTimeout);
    } catch (error) {
      if (!(error instanceof LostConnection && (wasUsed || error.isGivenUp))) throw causeOf(error);
    }
    try {
      // A second old one may be dead as well. But where none is opened, all share the next one.
      const host = this.#addresses.hostFor(pool.name);
      const fresh = pool.hanging === 0 ? this.#open(pool, host) : this.#connectionOf(pool, host);
      return await fresh.send(request, untilMs - performance.now(), onTimeout);
    } catch (error) {
      throw error instanceof LostConnection && error.isGivenUp ? silent(server) : causeOf(error);
    }
  }

  /** The URL of a path below a volume, with the address to connect to as its host. */
  urlOf(volume: string, path: string): string {
    const { name, port } = partsOf(serverOf(volume));
    const host = this.#addresses.hostFor(name);
    return `http://${host.includes(":") ? `[${host}]` : host}:${port}${belowServer(volume)}${path}`;
  }

  #poolOf(kind: Kind, server: string): Pool {
    const name = `${server} ${kind}`;
    let pool = this.#pools.get(name);
    if (!pool)
      this.#pools.set(
        name,
        (pool = { server, ...partsOf(server), kind, all: [], filling: undefined, hanging: 0, openedMs: 0 }),
      );
    return pool;
  }

  #connectionOf(pool: Pool, hostname: string): Connection {
    const { kind, all, filling } = pool;
    if (kind !== "alone" && filling?.takesMore) return filling;
    const isFull = kind === "question" && all.length >= limits.connectionsForQuestions;
    pool.filling =
      all.find((connection) => connection.isIdle) ?? (isFull ? leastBusy(all) : this.#open(pool, hostname));
    return pool.filling;
  }

  #open(pool: Pool, hostname: string): Connection {
    const nowMs = performance.now();
    if (pool.hanging >= limits.connectionsForQuestions && nowMs < pool.openedMs + limits.freshMs)
      throw silent(pool.server);
    pool.openedMs = nowMs;
    let isOpen = false;
    const opened = new Connection(
      pool.server,
      { hostname, port: pool.port },
      {
        reached: (address) => {
          isOpen = true;
          this.#addresses.reached(pool.name, address);
        },
        forget: () => {
          if (opened.answers === 0) this.#addresses.missed(pool.name);
          const at = pool.all.indexOf(opened);
          if (at >= 0) pool.all.splice(at, 1);
          if (pool.filling === opened) pool.filling = undefined;
          if (isOpen) return;
          pool.hanging++;
          void opened.settled.then(() => pool.hanging--);
        },
      },
    );
    pool.all.push(opened);
    this.#sweeping ??= setTimeout(() => this.#sweep(), limits.keptMs).unref();
    return opened;
  }

  /** Goes on as long as there are connections: a thread that nobody asks anything has some of a rush as well. */
  #sweep(): void {
    const pools = [...this.#pools.values()];
    const idleMs = performance.now() - limits.keptMs;
    for (const { all } of pools)
      for (const connection of [...all]) if (connection.isIdle && connection.heardMs < idleMs) connection.giveUp();
    const isDone = pools.every(({ all }) => all.length === 0);
    this.#sweeping = isDone ? undefined : setTimeout(() => this.#sweep(), limits.keptMs).unref();
  }

  #leave(name: string): void {
    const moved = [...this.#pools.values()].filter((pool) => pool.name === name);
    for (const { all } of moved) for (const connection of [...all]) connection.retire();
    for (const server of new Set(moved.map(({ server }) => server))) this.onMove(server);
  }
}

function silent(server: string): MkvError {
  return new MkvError("timeout", `${server} does not answer`);
}

function causeOf(error: unknown): unknown {
  return error instanceof LostConnection ? (error.cause ?? error) : error;
}

type Kind = "question" | "listing" | "alone";

/** The connections to a server for one kind of request, and the one that those of this turn of the loop go to. */
type Pool = {
  readonly server: string;
  readonly name: string;
  readonly port: number;
  readonly kind: Kind;
  readonly all: Connection[];
  filling: Connection | undefined;
  /** Connections that were given up and that the system still tries to open: see rule 5. */
  hanging: number;
  openedMs: number;
};

function leastBusy(all: readonly Connection[]): Connection {
  return all.reduce((best, connection) => (connection.waiting.length < best.waiting.length ? connection : best));
}

/** Listings are those of the folders `/HH/hh/`: folders below, where some names go on, are asked for alone. */
function kindOf(method: WireRequest["method"], path: string): Kind {
  if (method === "HEAD") return "question";
  return method === "GET" && path.length === "/HH/hh/".length && path.endsWith("/") ? "listing" : "alone";
}

/** Name or address, and port, of `host:port`; records of the Go program may name a server without its port, which is 80. */
function partsOf(server: string): { name: string; port: number } {
  const [, host, port] = /^(.*?)(?::(\d+))?$/.exec(server)!;
  return { name: host!.replace(/^\[|\]$/g, ""), port: Number(port ?? 80) };
}
