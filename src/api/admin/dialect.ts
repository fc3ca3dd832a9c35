// Owns what an operator may ask, on a port of its own: a function from Request to Response. It changes nothing.
import { type Measured, readMetrics } from "../../metrics";
import { MkvError } from "../../errors";
import { mostConnections } from "../admission";
import { failed } from "../respond";
import { splitUrl } from "../url";
import { expose, expositionType } from "./exposition";
import { connectionMetrics, processMetrics, volumeMetrics } from "./look";
import { answerPage } from "./page";
import { Readiness } from "./readiness";
import { type Status, type StatusSources, statusOf } from "./status";

/** The operator's side of a store. */
export class Admin {
  readonly #readiness: Readiness;

  constructor(readonly sources: StatusSources) {
    this.#readiness = new Readiness(sources.store);
  }

  /** Answers a request; never throws. */
  async answer(request: Request): Promise<Response> {
    try {
      if (request.method !== "GET" && request.method !== "HEAD")
        throw new MkvError("method", "the admin port only answers GET", { allow: "GET, HEAD" });
      const answer = this.#answers.get(splitUrl(request.url).path);
      if (!answer) throw new MkvError("absent", `there is ${[...this.#answers.keys()].join(", ")}`);
      const response = await answer();
      response.headers.set("cache-control", "no-store");
      return response;
    } catch (error) {
      return failed(error);
    }
  }

  readonly #answers = new Map<string, () => Response | Promise<Response>>([
    ["/", answerPage],
    ["/healthz", () => text(200, "the process answers")],
    ["/readyz", () => this.#ready()],
    [
      "/metrics",
      async () => new Response(expose(await this.#metrics()), { headers: { "content-type": expositionType } }),
    ],
    ["/status", async () => Response.json(await this.#status())],
    ["/history", () => Response.json({ samples: this.sources.observer.samples })],
  ]);

  async #status(): Promise<Status> {
    const [whyNotReady, connections] = await Promise.all([this.#whyNotReady(), this.sources.observer.connections()]);
    return statusOf(this.sources, { whyNotReady, connections });
  }

  #whyNotReady(): Promise<string | undefined> {
    return this.#readiness.whyNot(this.sources.observer.reports());
  }

  async #ready(): Promise<Response> {
    const why = await this.#whyNotReady();
    return why === undefined ? text(200, "ready") : text(503, why);
  }

  async #metrics(): Promise<Measured[]> {
    const { observer, version } = this.sources;
    return [
      ...readMetrics(),
      ...volumeMetrics(observer.reports()),
      ...connectionMetrics(await observer.connections(), mostConnections),
      ...processMetrics(version),
    ];
  }
}

function text(status: number, line: string): Response {
  return new Response(`${line}\n`, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}
