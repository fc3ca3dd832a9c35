// Owns the socket of the master: one thread's `Bun.serve`, its log of requests, its end.
import { limits } from "../limits";
import { aboutNothing, logRequest } from "./access";
import { discard } from "./body";
import { type Admission } from "./admission";
import { type Listening, portError } from "./listening";
import { type Asked, type Native, answer, operationOf } from "./native/dialect";
import { countRequest } from "./requests";
import { failed } from "./respond";

/** A server that runs. `drain` takes no new requests and waits for those that run, at most `limits.drainMs`. */
export type Service = { readonly port: number; drain(): Promise<void> };

/** How a thread serves; `shared` if several listen on the same port. */
export type Serving = Listening & { verbose: boolean; shared: boolean; admission: Admission };

/**
 * Serves the native dialect.
 * @throws MkvError failed if the port is not to be had
 */
export function serve(native: Native, { port, bind, verbose, shared, admission }: Serving): Service {
  const handle = (request: Request): Answered => {
    const startMs = performance.now();
    const about = verbose ? aboutNothing() : undefined;
    const client = verbose ? addressOf(request) : "";
    const asked = { request, about, cut: () => server.timeout(request, 1), address: () => addressOf(request) };
    const end = (response: Response) => {
      const ms = performance.now() - startMs;
      countRequest(request.method, { operation: operationOf(request), status: response.status, ms });
      if (about) logRequest(request, { about, client, response, ms });
      return response;
    };
    const answered = admitted(native, admission, asked);
    return answered instanceof Promise ? answered.then(end) : end(answered);
  };
  const addressOf = (request: Request) => server.requestIP(request)?.address ?? "";
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
        const answered = handle(request);
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

type Answered = Response | Promise<Response>;

function admitted(native: Native, admission: Admission, asked: Asked): Answered {
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

/**
 * Takes what a client still sends of a refused body, for a while. A client that asked to close gets its answer after that:
 * Bun closes with the answer, and bytes that arrive at a closed connection reset it, the answer included.
 */
async function withRest(request: Request, answered: Answered): Promise<Response> {
  const response = await answered;
  if (response.status < 400 || request.body === null || request.body.locked) return response; // Locked: it was read whole.
  const rest = discard(request.body.getReader());
  if ([request, response].some(({ headers }) => headers.get("connection")?.toLowerCase() === "close")) await rest;
  return response;
}
