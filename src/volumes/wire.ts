// Owns short requests to volume servers: HTTP/1.1 over sockets that are kept. Five times as fast as `fetch`, which stays
// for bodies that are streamed.
// 1. Questions (HEAD) share a few connections, several on the way in each; answers come in their order. A deed (PUT,
//    DELETE, sync) has a connection to itself: it may take long, and no impatient question can cut it off.
// 2. What cannot be told apart any more is not guessed: a request that is late, or an answer that is not understood,
//    closes its connection. Questions that lose theirs that way are asked once more.
// 3. A request on a connection that the server had kept open and closes is sent once more: each may be repeated. A deed
//    is never repeated after silence: the first might land later, after a newer one.
import { strict as assert } from "node:assert";
import { MkvError } from "../errors";
import { limits } from "../limits";
import { serverOf } from "./health";

/** A request that is sent as a whole. `headers` are complete lines, each with its "\r\n". */
export type ShortRequest = {
  readonly method: "HEAD" | "DELETE" | "POST" | "PUT";
  /** `host:port` or `host:port/path`; `path` is below it. */
  readonly volume: string;
  readonly path: string;
  readonly headers: string;
  readonly body?: Uint8Array;
};

/** What is kept of an answer. `modified` is an HTTP date. */
export type ShortAnswer = { readonly status: number; readonly bytes: number; readonly modified: string };

/**
 * Sends a request and waits for the head of its answer.
 * @param options.late makes the error for an answer that has not come within `timeoutMs`
 * @throws what `late` makes; an Error with a `code` or message of the socket's
 */
export async function exchange(
  request: ShortRequest,
  options: { timeoutMs: number; late: () => MkvError },
): Promise<ShortAnswer> {
  const untilMs = performance.now() + options.timeoutMs;
  for (let attempt = 1; ; attempt++) {
    const connection = connectionFor(request);
    const wasUsed = connection.answers > 0;
    try {
      return await connection.send(request, untilMs - performance.now(), options.late);
    } catch (error) {
      if (!(error instanceof LostConnection)) throw error;
      if (attempt > 1 || !(wasUsed || error.isGivenUp)) throw error.cause ?? error;
    }
  }
}

class LostConnection extends Error {
  constructor(
    cause: unknown,
    readonly isGivenUp: boolean,
  ) {
    super("the connection was closed", { cause });
  }
}

type Waiting = {
  readonly method: string;
  readonly resolve: (answer: ShortAnswer) => void;
  readonly reject: (error: unknown) => void;
};

const connections = new Map<string, Connection[]>();

/** An idle connection; else for a deed a new one, for a question the one with the fewest, once there are enough. */
function connectionFor({ method, volume }: ShortRequest): Connection {
  const server = serverOf(volume);
  const isDeed = method !== "HEAD";
  const name = isDeed ? `${server} deeds` : server;
  let pool = connections.get(name);
  if (!pool) connections.set(name, (pool = []));
  let best: Connection | undefined;
  for (const connection of pool) if (!best || connection.waiting.length < best.waiting.length) best = connection;
  if (best && (best.waiting.length === 0 || (!isDeed && pool.length >= limits.connectionsForQuestions))) return best;
  const opened = new Connection(server, () => pool.splice(pool.indexOf(opened), 1));
  pool.push(opened);
  return opened;
}

class Connection {
  readonly waiting: Waiting[] = [];
  answers = 0;
  #socket: Bun.Socket | undefined;
  #outgoing: Uint8Array[] = [];
  #isFlushing = false;
  #received = "";
  #bodyLeft = 0;
  #isClosed = false;

  constructor(
    readonly server: string,
    readonly forget: () => void,
  ) {
    const colon = server.lastIndexOf(":");
    const hostname = server.slice(0, colon).replace(/^\[|\]$/g, "");
    const port = Number(server.slice(colon + 1));
    const socket = {
      data: (_: unknown, bytes: Buffer) => this.#read(bytes.toString("latin1")),
      drain: () => this.#flush(),
      close: () => this.close(undefined),
      error: (_: unknown, error: Error) => this.close(error),
    };
    Bun.connect({ hostname, port, socket }).then(
      (opened) => {
        this.#socket = opened;
        if (this.#isClosed) opened.end();
        else this.#flush();
      },
      (error) => this.close(error),
    );
  }

  send(
    { method, volume, path, headers, body }: ShortRequest,
    timeoutMs: number,
    late: () => MkvError,
  ): Promise<ShortAnswer> {
    assert(!/[\s\0]/.test(volume + path), "a request would say more than it should");
    const { promise, resolve, reject } = Promise.withResolvers<ShortAnswer>();
    const timer = setTimeout(() => {
      reject(late());
      this.close(undefined, { isGivenUp: true });
    }, timeoutMs);
    const settled =
      <T>(settle: (value: T) => void) =>
      (value: T) => {
        clearTimeout(timer);
        settle(value);
      };
    this.waiting.push({ method, resolve: settled(resolve), reject: settled(reject) });
    this.#outgoing.push(
      Buffer.from(
        `${method} ${volume.slice(this.server.length)}${path} HTTP/1.1\r\nHost: ${this.server}\r\n${headers}\r\n`,
        "latin1",
      ),
    );
    if (body) this.#outgoing.push(body);
    if (!this.#isFlushing) {
      this.#isFlushing = true;
      setImmediate(() => this.#flush()); // One write for all that this turn of the loop asks.
    }
    return promise;
  }

  close(cause: unknown, { isGivenUp } = { isGivenUp: false }): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.forget();
    if (isGivenUp)
      this.#socket?.terminate(); // What is still in the kernel must not arrive later.
    else this.#socket?.end();
    for (const { reject } of this.waiting.splice(0)) reject(new LostConnection(cause, isGivenUp));
  }

  #flush(): void {
    this.#isFlushing = false;
    if (!this.#socket || this.#isClosed || this.#outgoing.length === 0) return;
    const bytes = this.#outgoing.length === 1 ? this.#outgoing[0]! : Buffer.concat(this.#outgoing);
    const written = this.#socket.write(bytes);
    this.#outgoing = written < bytes.length ? [bytes.subarray(Math.max(written, 0))] : [];
  }

  #read(text: string): void {
    this.#received += text;
    if (this.#received.length > limits.answerChars) return this.close(new Error("its answer has no end"));
    for (;;) {
      const skipped = Math.min(this.#bodyLeft, this.#received.length);
      this.#bodyLeft -= skipped;
      const end = this.#received.indexOf("\r\n\r\n", skipped);
      if (this.#bodyLeft > 0 || end < 0) {
        this.#received = this.#received.slice(skipped);
        return;
      }
      const head = this.#received.slice(skipped, end + 2);
      this.#received = this.#received.slice(end + 4);
      if (!this.#answer(head)) return;
    }
  }

  /** Hands an answer to whom it belongs; false if the connection cannot go on after it. */
  #answer(head: string): boolean {
    const status = /^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1];
    const waiting = this.waiting.shift();
    if (status === undefined || !waiting) {
      waiting?.reject(new MkvError("volume-failed", `${this.server} does not speak HTTP`));
      this.close(undefined);
      return false;
    }
    const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
    const hasBody = waiting.method !== "HEAD" && status !== "204";
    if (hasBody) this.#bodyLeft = Number(length ?? 0);
    this.answers++;
    const modified = /\r\nlast-modified: *([^\r]*)/i.exec(head)?.[1] ?? "";
    waiting.resolve({ status: Number(status), bytes: Number(length ?? 0), modified });
    if ((length !== undefined || !hasBody) && !/\r\nconnection: *close/i.test(head)) return true;
    this.close(undefined, { isGivenUp: true });
    return false;
  }
}
