// Owns what an operator may ask, on a port of its own, of the first thread alone. It changes nothing.
import { MkvError } from "../../errors";
import { readMetrics } from "../../metrics";
import { mostConnections } from "../admission";
import { type Listening, portError } from "../listening";
import { failed } from "../respond";
import { splitUrl } from "../url";
import { expose, expositionType } from "./exposition";
import { connectionMetrics, indexMetric, processMetrics, volumeMetrics } from "./look";
import { answerPage } from "./page";
import { Readiness, type StatusSources, statusOf } from "./status";

/** Serves until it is disposed of. Throws MkvError failed if the port is not to be had. */
export function serveAdmin(sources: StatusSources, { port, bind }: Listening): Disposable {
  const answers = answersOf(sources);
  try {
    const server = Bun.serve({
      port,
      ...(bind !== undefined && { hostname: bind }),
      development: false,
      fetch: (request) => answer(answers, request).catch(failed),
    });
    return { [Symbol.dispose]: () => void server.stop(true) };
  } catch (error) {
    throw portError({ port, bind }, error, "-adminport");
  }
}

type Answers = Readonly<Record<string, () => Response | Promise<Response>>>;

async function answer(answers: Answers, request: Request): Promise<Response> {
  if (request.method !== "GET" && request.method !== "HEAD")
    throw new MkvError("method", "the admin port only answers GET", { allow: "GET, HEAD" });
  const ask = answers[splitUrl(request.url).path];
  if (!ask) throw new MkvError("absent", `there is ${Object.keys(answers).join(", ")}`);
  const response = await ask();
  response.headers.set("cache-control", "no-store");
  return response;
}

function answersOf(sources: StatusSources): Answers {
  const { store, observer, version, stop } = sources;
  const readiness = new Readiness(store);
  const whyNotReady = async () => (stop.aborted ? "stopping" : await readiness.whyNot(observer.reports()));
  return {
    "/": answerPage,
    "/healthz": () => text(200, "the process answers"),
    async "/readyz"() {
      const why = await whyNotReady();
      return why === undefined ? text(200, "ready") : text(503, why);
    },
    async "/metrics"() {
      const ofVolumes = volumeMetrics(observer.reports());
      const ofConnections = connectionMetrics(await observer.connections(), mostConnections);
      const ofIndex = indexMetric(store.ledger.age);
      const all = [...readMetrics(), ...ofVolumes, ...ofConnections, ofIndex, ...processMetrics(version)];
      return new Response(expose(all), { headers: { "content-type": expositionType } });
    },
    async "/status"() {
      const [why, connections] = await Promise.all([whyNotReady(), observer.connections()]);
      return Response.json(statusOf(sources, { whyNotReady: why, connections }));
    },
    "/history": () => Response.json({ samples: observer.samples }),
  };
}

function text(status: number, line: string): Response {
  return new Response(`${line}\n`, { status, headers: { "content-type": "text/plain; charset=utf-8" } });
}
