// Owns what the log tells of a request: who asked, what it was about, how it ended.
import { logAccess } from "../log";
import { lengthOf } from "./requests";
import { splitUrl } from "./url";

/** What is learnt of a request while it is answered, for the log. */
export type About = {
  /** Whom the volumes have let in; empty if nobody in particular. */
  user: string;
  /** Bytes of a value that came in. */
  receivedBytes: number;
  /** Where the value is, or was put. */
  volumes: readonly string[];
};

export function aboutNothing(): About {
  return { user: "", receivedBytes: 0, volumes: [] };
}

/** Logs a request with its answer. */
export function logRequest(
  request: Pick<Request, "method" | "url">,
  { about, client, response, ms }: { about: About; client: string; response: Response; ms: number },
): void {
  const { path, query } = splitUrl(request.url);
  logAccess({
    client: client.replace(/^::ffff:(?=\d+\.)/, ""),
    user: about.user,
    method: request.method,
    path: query === "" ? path : `${path}?${query}`,
    status: response.status,
    bytes: about.receivedBytes || (request.method === "HEAD" ? 0 : lengthOf(response)),
    seconds: ms / 1000,
    volume: about.volumes.join(","),
  });
}

/** The same chunks, whose bytes are told. */
export async function* tallied(chunks: AsyncIterable<Uint8Array>, about: About): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    about.receivedBytes += chunk.length;
    yield chunk;
  }
}
