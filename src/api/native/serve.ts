// Owns the socket of the native dialect: one thread's `Bun.serve`, its log of requests, its end.
import { limits } from "../../limits";
import { discard } from "../body";
import { type Admission } from "../admission";
import { type Serving, portError } from "../listening";
import { type Asked, type Native, answer, operationOf } from "./dialect";
import { type About, aboutNothing, noteEnd } from "../requests";
import { failed } from "../respond";

/** A server that runs. `drain` takes no new requests and waits for those that run, at most `limits.drainMs`. */
export type Service = { readonly port: number; drain(): Promise<void> };

/**
 * Serves the native dialect.
 * @throws MkvError failed if the port is not to be had
 */
export function serve(native: Native, { port, bind, verbose, shared, admission }: Serving): Service {
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
        const exchange = new Exchange(request, self, verbose);
        const answered = admitted(native, admission, exchange);
        const { method } = exchange;
        if (method === "GET" || method === "HEAD") return answered;
        self.timeout(request, 0); // Each wait has its own deadline.
        // Before the answer goes out: later it has no effect.
        return withRest(request, answered).finally(() => self.timeout(request, limits.idleSeconds));
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

/** A request on its way. Method and URL are read once: each costs Bun a way into its own. */
class Exchange implements Asked {
  readonly method: string;
  readonly url: string;
  readonly about: About | undefined;
  readonly #startMs = performance.now();
  readonly #client: string;

  constructor(
    readonly request: Request,
    readonly server: Bun.Server<undefined>,
    verbose: boolean,
  ) {
    this.method = request.method;
    this.url = request.url;
    this.about = verbose ? aboutNothing() : undefined;
    this.#client = verbose ? this.address() : "";
  }

  address(): string {
    return this.server.requestIP(this.request)?.address ?? "";
  }

  cut(): void {
    this.server.timeout(this.request, 1);
  }

  end(response: Response): Response {
    const { method, url, about } = this;
    const operation = operationOf(method, url);
    noteEnd(response, { method, url, operation, startMs: this.#startMs, client: this.#client, about });
    return response;
  }
}

function admitted(native: Native, admission: Admission, exchange: Exchange): Answered {
  let place: Disposable | undefined;
  try {
    place = admission.enter(exchange.method);
  } catch (error) {
    return exchange.end(failed(error));
  }
  const end = (response: Response) => {
    place?.[Symbol.dispose]();
    return exchange.end(response);
  };
  const answered = answer(native, exchange);
  return answered instanceof Promise ? answered.then(end) : end(answered);
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
