// Owns the socket of the master: one thread's `Bun.serve`, its log of requests, its end.
import { MkvError, reasonOf } from "../errors";
import { limits } from "../limits";
import { log } from "../log";
import { discard } from "./body";
import { type Native, answer } from "./native/dialect";

/** A server that runs. `drain` takes no new requests and waits for those that run, at most `limits.drainMs`. */
export type Service = { readonly port: number; drain(): Promise<void> };

/**
 * Serves the native dialect.
 * @param options.shared several threads listen on the same port
 * @throws MkvError failed if the port is not to be had
 */
export function serve(native: Native, options: { port: number; verbose: boolean; shared: boolean }): Service {
  const handle = (request: Request) => answer(native, { request, cut: () => server.timeout(request, 1) });
  let server: Bun.Server<undefined>;
  try {
    server = Bun.serve({
      port: options.port,
      reusePort: options.shared,
      idleTimeout: limits.idleSeconds,
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      development: false,
      fetch(request, self) {
        const answered = options.verbose ? logged(request, handle) : handle(request);
        if (request.method === "GET" || request.method === "HEAD") return answered;
        self.timeout(request, 0); // Each wait has its own deadline.
        return withRest(request, answered);
      },
    });
  } catch (error) {
    throw portError(options.port, error);
  }
  return {
    port: server.port!,
    async drain() {
      const timer = setTimeout(() => void server.stop(true), limits.drainMs);
      await server.stop(false);
      clearTimeout(timer);
    },
  };
}

/** Throws MkvError failed if something listens on the port already: threads that share it would not notice. */
export function requireFreePort(port: number): void {
  try {
    Bun.listen({ port, hostname: "0.0.0.0", socket: { data() {} } }).stop(true);
  } catch (error) {
    throw portError(port, error);
  }
}

function portError(port: number, error: unknown): MkvError {
  const why =
    (error as { code?: string }).code === "EADDRINUSE" ? "is in use: choose another with -port" : reasonOf(error);
  return new MkvError("failed", `port ${port} ${why}`, { cause: error });
}

async function logged(request: Request, handle: (request: Request) => Response | Promise<Response>): Promise<Response> {
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
  if (request.headers.get("connection")?.toLowerCase() === "close") await rest;
  return response;
}
