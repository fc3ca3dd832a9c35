// Owns the socket of the master: one thread's `Bun.serve`, its log of requests, its end.
import { MkvError, reasonOf } from "../errors";
import { limits } from "../limits";
import { log } from "../log";
import { discard } from "./body";
import { type Admission } from "./admission";
import { type Asked, type Native, answer, operationOf } from "./native/dialect";
import { countRequest } from "./requests";
import { failed } from "./respond";

/** A server that runs. `drain` takes no new requests and waits for those that run, at most `limits.drainMs`. */
export type Service = { readonly port: number; drain(): Promise<void> };

/** Where a server listens: on all addresses, if none is named. */
export type Listening = { port: number; bind: string | undefined };

/** How a thread serves; `shared` if several listen on the same port. */
export type Serving = Listening & { verbose: boolean; shared: boolean; admission: Admission };

/**
 * Serves the native dialect.
 * @throws MkvError failed if the port is not to be had
 */
export function serve(native: Native, { port, bind, verbose, shared, admission }: Serving): Service {
  const handle = (request: Request) =>
    admitted(native, admission, {
      request,
      cut: () => server.timeout(request, 1),
      address: () => server.requestIP(request)?.address ?? "",
    });
  let server: Bun.Server<undefined>;
  try {
    server = Bun.serve({
      port,
      ...(bind !== undefined && { hostname: bind }),
      reusePort: shared,
      idleTimeout: limits.idleSeconds,
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      development: false,
      fetch(request, self) {
        const answered = counted(request, verbose ? (asked) => logged(asked, handle) : handle);
        if (request.method === "GET" || request.method === "HEAD") return answered;
        self.timeout(request, 0); // Each wait has its own deadline.
        return withRest(request, answered).finally(() => self.timeout(request, limits.idleSeconds)); // Afterwards is too late.
      },
    });
  } catch (error) {
    throw portError({ port, bind }, error);
  }
  const watch = admission.watch(() => void (server as { closeIdleConnections?(): void }).closeIdleConnections?.());
  return {
    port: server.port!,
    async drain() {
      const timer = setTimeout(() => void server.stop(true), limits.drainMs);
      await server.stop(false);
      clearTimeout(timer);
      watch[Symbol.dispose]();
    },
  };
}

function admitted(native: Native, admission: Admission, asked: Asked): Response | Promise<Response> {
  try {
    const place = admission.enter(asked.request.method);
    const answered = answer(native, asked);
    if (place && answered instanceof Promise) return answered.finally(() => place[Symbol.dispose]());
    place?.[Symbol.dispose]();
    return answered;
  } catch (error) {
    return failed(error);
  }
}

/** Throws MkvError failed if something listens on the port already: threads that share it would not notice. */
export function requireFreePort({ port, bind }: Listening): void {
  try {
    Bun.listen({ port, hostname: bind ?? "0.0.0.0", socket: { data() {} } }).stop(true);
  } catch (error) {
    throw portError({ port, bind }, error);
  }
}

function portError({ port, bind }: Listening, error: unknown): MkvError {
  const { code } = error as { code?: string };
  const where = bind === undefined ? "" : ` of ${bind}`;
  const why =
    code === "EADDRINUSE" ? "is in use: choose another with -port" : `cannot be listened on: ${reasonOf(error)}`;
  return new MkvError("failed", `port ${port}${where} ${why}`, { cause: error });
}

type Handle = (request: Request) => Response | Promise<Response>;

function counted(request: Request, handle: Handle): Response | Promise<Response> {
  const startMs = performance.now();
  const count = (response: Response) => {
    const { method } = request;
    const operation = operationOf(request);
    countRequest(method, { operation, status: response.status, ms: performance.now() - startMs });
    return response;
  };
  const answered = handle(request);
  return answered instanceof Promise ? answered.then(count) : count(answered);
}

async function logged(request: Request, handle: Handle): Promise<Response> {
  const startMs = performance.now();
  const response = await handle(request);
  const path = request.url.replace(/^[a-z]+:\/\/[^/]*/, "");
  log(`${request.method} ${path} ${response.status} ${(performance.now() - startMs).toFixed(1)}ms`);
  return response;
}

/**
 * Takes what a client still sends of a refused body, for a while. A client that asked to close gets its answer after that:
 * Bun closes with the answer, and bytes that arrive at a closed connection reset it, the answer included.
 */
async function withRest(request: Request, answered: Response | Promise<Response>): Promise<Response> {
  const response = await answered;
  if (response.status < 400 || request.body === null || request.body.locked) return response; // Locked: it was read whole.
  const rest = discard(request.body.getReader());
  if ([request, response].some(({ headers }) => headers.get("connection")?.toLowerCase() === "close")) await rest;
  return response;
}
