// Owns the socket of the S3 port. It is node:http's: Bun.serve tells no length of what is streamed, which clients rely on, and
// resolves the "." and ".." of a path.
import { type IncomingMessage, Server, type ServerResponse, createServer } from "node:http";
import { once } from "node:events";
import { withDeadline } from "../../deadline";
import { MkvError } from "../../errors";
import { limits } from "../../limits";
import { logBug } from "../../log";
import { discard } from "../body";
import { type Listening, type Serving, portError } from "../listening";
import { aboutNothing, noteEnd, sent } from "../requests";
import { type S3, aboutOf, answer, isWrite, operationOf } from "./dialect";
import { failed } from "./errors";
import { type Incoming, targetOf } from "./request";

/** How it is served: hosts below the domain are buckets. */
type ServingS3 = Serving & { readonly domain?: string | undefined };

/** Serves S3. `drain` takes no new requests and waits for those that run. Throws MkvError failed if the port is not to be had. */
export async function serveS3(s3: S3, serving: ServingS3): Promise<{ readonly drain: () => Promise<void> }> {
  const { port, bind, shared, admission } = serving;
  /** Requests that are not over: some go on when their answer has begun, or their client is gone. */
  const running = new Set<Promise<void>>();
  const server = createServer();
  const take = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const work = handle(s3, serving, { incoming, outgoing })
      .catch((error: unknown) => {
        if (!outgoing.destroyed) logBug(error);
        outgoing.destroy();
      })
      .finally(() => {
        running.delete(work);
        if (!server.listening) server.closeIdleConnections(); // Its client would keep it, and so the server.
      });
    running.add(work);
  };
  for (const event of ["request", "checkContinue", "checkExpectation"]) server.on(event, take); // See `bodyOf`.
  server.keepAliveTimeout = limits.idleSeconds * 1000;
  server.requestTimeout = 0; // Each wait has its own deadline.
  // A client may close its side when it has sent its request, and still wait for the answer.
  Object.assign(server, { httpAllowHalfOpen: true });
  const listening = once(server, "listening");
  try {
    if (shared) listenShared(server, { port, bind });
    else server.listen({ port, ...(bind !== undefined && { host: bind }) });
    await listening;
  } catch (error) {
    throw portError({ port, bind }, error, "-s3port");
  }
  const watch = admission.watch(() => server.closeIdleConnections());
  return { drain: () => drain(server, running).finally(() => watch[Symbol.dispose]()) };
}

/** As `listen`, which shares a port with other threads only in a process of node:cluster; this is what it calls there. */
function listenShared(server: Server, { port, bind }: Listening): void {
  const symbols = Object.getOwnPropertySymbols(Server.prototype);
  const listen = symbols.find(({ description }) => description === "kRealListen")!;
  const [tls, socketPath] = [undefined, undefined];
  (server as unknown as Record<symbol, (...how: unknown[]) => void>)[listen]!(tls, port, bind, socketPath, true);
}

async function drain(server: Server, running: ReadonlySet<Promise<void>>): Promise<void> {
  const { promise: tooLong, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    server.closeAllConnections();
    resolve();
  }, limits.drainMs);
  const closed = once(server, "close");
  server.close();
  server.closeIdleConnections();
  await closed;
  await Promise.race([Promise.all(running), tooLong]);
  clearTimeout(timer);
}

async function handle(
  s3: S3,
  { verbose, admission, domain }: ServingS3,
  { incoming, outgoing }: { incoming: IncomingMessage; outgoing: ServerResponse },
): Promise<void> {
  const startMs = performance.now();
  const about = verbose ? aboutNothing() : undefined;
  const client = incoming.socket.remoteAddress ?? "";
  const request = requestOf(incoming, outgoing, domain);
  let rest: Promise<unknown> | undefined;
  let place: Disposable | undefined;
  let response: Response;
  try {
    place = admission.enter(isWrite(request) ? "PUT" : request.method);
    response = await answer(s3, { request, told: about, goesOn: (work) => void (rest = work) });
  } catch (error) {
    response = failed(error, aboutOf(request));
    response.headers.set("connection", "close"); // There are too many: see Admission.
  }
  const isOver = Promise.allSettled([rest]).then(() => place?.[Symbol.dispose]());
  const url = request.url.replace(/(?<=X-Amz-Signature=)[^&]*/i, "..."); // Whoever reads the log may not use the link.
  noteEnd(response, { method: request.method, url, operation: operationOf(request), startMs, client, about });
  const isRefused = response.status >= 400;
  const isUnread = isRefused && request.body !== null && !incoming.complete;
  // An answer in the place of "100 Continue": the body may never come, and botocore takes the next answer for another refusal.
  const isInstead = incoming.headers.expect !== undefined && (isRefused || !incoming.complete);
  if (isUnread || isInstead) response.headers.set("connection", "close");
  try {
    await send(response, outgoing, isUnread ? request.body : null);
  } finally {
    await isOver;
  }
}

/** A request of node:http, as the dialect reads it. */
function requestOf(incoming: IncomingMessage, outgoing: ServerResponse, domain: string | undefined): Incoming {
  const headers = new Headers();
  for (let i = 0; i < incoming.rawHeaders.length; i += 2) {
    const [name, value] = [incoming.rawHeaders[i]!, incoming.rawHeaders[i + 1]!];
    const before = headers.get(name); // What stands in several lines is signed with commas alone between.
    headers.set(name, before === null ? value : `${before},${value}`);
  }
  const method = incoming.method ?? "GET";
  const withdrawn = new AbortController();
  outgoing.once("close", () => outgoing.writableFinished || withdrawn.abort());
  const body = method === "GET" || method === "HEAD" ? null : bodyOf(incoming, outgoing);
  const sent = incoming.url ?? "/";
  return {
    method,
    url: targetOf(sent, incoming.headers.host, domain) ?? sent,
    sent,
    headers,
    body,
    signal: withdrawn.signal,
  };
}

/** The body of a request, of which no more is read than is asked for. A client that waits to be told sends none before that. */
function bodyOf(incoming: IncomingMessage, outgoing: ServerResponse): ReadableStream<Uint8Array> {
  const isAwaited = incoming.headers.expect?.toLowerCase() === "100-continue";
  let isTold = false;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (!isTold && isAwaited && !outgoing.headersSent) outgoing.writeContinue();
        isTold = true;
        const chunk = await nextChunk(incoming);
        if (chunk) controller.enqueue(chunk);
        else controller.close();
      },
      cancel: () => void incoming.destroy(),
    },
    { highWaterMark: 0 },
  );
}

/** The next bytes of a body, undefined at its end; its own iterator costs 20 µs more. Throws if it breaks off. */
async function nextChunk(incoming: IncomingMessage): Promise<Uint8Array | undefined> {
  if (incoming.readableEnded) return undefined;
  const brokenOff = () => new MkvError("client-gone", "the client is gone");
  if (incoming.destroyed) throw brokenOff();
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | undefined>();
  const onData = (chunk: Uint8Array) => {
    incoming.pause(); // At once: what comes while nobody listens would be lost.
    resolve(chunk);
  };
  const onEnd = () => resolve(undefined);
  const onClose = () => reject(brokenOff());
  incoming.on("data", onData).on("end", onEnd).on("error", reject).on("close", onClose).resume();
  try {
    return await promise;
  } finally {
    incoming.off("data", onData).off("end", onEnd).off("error", reject).off("close", onClose);
  }
}

/** The name of a header as AWS writes it: there are clients that look for just that (htslib: "ETag"). */
function wireName(name: string): string {
  if (name === "etag") return "ETag";
  return name.startsWith("x-amz-") ? name : name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase());
}

/**
 * Sends an answer, no faster than it is taken; a client that takes nothing for long is cut off.
 * @param unwanted the body of a request that was refused: many read no answer before they have sent it, and see a broken
 * connection if it is closed sooner
 */
async function send(
  response: Response,
  outgoing: ServerResponse,
  unwanted: ReadableStream<Uint8Array> | null,
): Promise<void> {
  const reader = response.body?.getReader();
  const isSaid = reader || outgoing.req.method === "HEAD" || response.status === 204 || response.status === 304;
  if (!isSaid) response.headers.set("content-length", "0");
  try {
    const headers = [...response.headers].map(([name, value]) => [wireName(name), value]);
    outgoing.writeHead(response.status, Object.fromEntries(headers));
  } catch (error) {
    await reader?.cancel().catch(() => {}); // Its volume is let go of.
    throw error;
  }
  const slow = () => new MkvError("client-slow", "the client takes nothing of the answer");
  try {
    while (reader && !outgoing.destroyed) {
      const { done, value } = await reader.read();
      if (done || outgoing.destroyed) break; // The client may have gone meanwhile: nothing would tell of that any more.
      sent.add(value.length);
      if (outgoing.write(value)) continue;
      const { promise: taken, resolve } = Promise.withResolvers<void>();
      outgoing.once("drain", resolve).once("close", resolve);
      await withDeadline(limits.idleSeconds * 1000, taken, slow);
      outgoing.off("drain", resolve).off("close", resolve);
    }
    if (unwanted && !unwanted.locked) await discard(unwanted.getReader());
    if (outgoing.destroyed) await reader?.cancel();
    else outgoing.end();
  } catch {
    await reader?.cancel().catch(() => {}); // The value broke off, or the client is too slow: it sees a broken connection.
    outgoing.destroy();
  }
}
