// Owns the body of a request: what its head says of it, and its bytes, from a client that may be slow, or gone.
import { setImmediate } from "node:timers/promises";
import { withDeadline } from "../deadline";
import { MkvError, reasonOf } from "../errors";
import { limits } from "../limits";
import { type About, noteReceived } from "./requests";

/**
 * The length that is announced; undefined for a chunked body, or none. Bun joins equal fields: "5, 5" is 5.
 * @throws MkvError bad-request if it is no number, or several
 */
export function announcedBytes({ headers }: Pick<Request, "headers">): number | undefined {
  const text = headers.get("content-length");
  if (text === null) return undefined;
  const [first, ...others] = text.split(",").map((part) => part.trim());
  if (/^\d{1,15}$/.test(first!) && others.every((other) => other === first)) return Number(first);
  throw new MkvError("bad-request", "Content-Length is not one whole number");
}

/**
 * Refuses a body that would be stored as something else than it is.
 * @throws MkvError bad-request for a part of a value (RFC 9110, section 14.4), and for trailers: Bun answers 400 to these
 * by itself, when the body has been handed over already
 */
export function requireWhole({ headers }: Request): void {
  if (headers.has("content-range"))
    throw new MkvError("bad-request", "a value is stored whole: Content-Range is not taken");
  if (headers.has("trailer"))
    throw new MkvError("bad-request", "trailers are not taken: send the body without Trailer");
}

/**
 * Refuses what is to be done on a condition only: none is looked at here. That nothing is there a plain PUT demands anyhow.
 * @throws MkvError unsupported
 */
export function requireUnconditional({ headers }: Request, isPlainPut: boolean): void {
  const isMet = isPlainPut && headers.get("if-none-match")?.trim() === "*";
  for (const name of conditions)
    if (headers.has(name) && !(isMet && name === "if-none-match"))
      throw new MkvError("unsupported", `${name} of a write is for S3: nothing is changed`);
}

const conditions = ["if-match", "if-none-match", "if-unmodified-since"];

/** How a body is taken: how long its client may be silent, and what the log is to be told. */
export type Receiving = { readonly clienttimeoutMs: number; readonly about: About | undefined };

/**
 * The body of a request in one piece, which costs half as much as a stream: for one so short that any client has to send it
 * within `clienttimeoutMs`.
 * @throws MkvError client-slow, client-gone
 */
export async function* shortBodyOf(
  request: Request,
  { clienttimeoutMs, about }: Receiving,
): AsyncGenerator<Uint8Array> {
  const sent = withDeadline(clienttimeoutMs, request.bytes(), () => slow(clienttimeoutMs));
  const body = await sent.catch((error) => {
    throw gone(error);
  });
  noteReceived(body.length, about);
  yield body;
}

/**
 * The body chunk by chunk, as long as the client sends more than a trickle.
 * @param options.withdrawn the signal of a chunked request: Bun aborts it right after the end of a body that has trailers
 * @throws MkvError client-slow, client-gone
 */
export async function* chunksOf(
  body: ReadableStream<Uint8Array>,
  { clienttimeoutMs, about, withdrawn }: Receiving & { withdrawn: AbortSignal | undefined },
): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  const onTimeout = () => slow(clienttimeoutMs);
  let untilMs = performance.now() + clienttimeoutMs;
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await withDeadline(untilMs - performance.now(), reader.read(), onTimeout);
      if (done) {
        if (withdrawn) await setImmediate();
        if (withdrawn?.aborted) throw new Error("its body is not the end of its request");
        return;
      }
      noteReceived(value.length, about);
      yield value;
      bytes += value.length;
      if (bytes < limits.tricklingBytes) continue;
      untilMs = performance.now() + clienttimeoutMs;
      bytes = 0;
    }
  } catch (error) {
    throw gone(error);
  } finally {
    reader.releaseLock();
  }
}

function slow(clienttimeoutMs: number): MkvError {
  return new MkvError("client-slow", `the client has sent next to nothing for ${clienttimeoutMs} ms`);
}

function gone(error: unknown): MkvError {
  if (error instanceof MkvError) return error;
  return new MkvError("client-gone", `the client went away: ${reasonOf(error)}`, { cause: error });
}

/** Takes what still comes of a body that nobody wants, for a while. */
export async function discard(reader: { read(): Promise<{ done: boolean }>; cancel(): Promise<void> }): Promise<void> {
  const untilMs = performance.now() + limits.lingerMs;
  const onTimeout = () => new MkvError("client-slow", "the client goes on sending");
  try {
    for (;;) {
      const waitMs = Math.min(limits.lingerSilenceMs, untilMs - performance.now());
      if ((await withDeadline(waitMs, reader.read(), onTimeout)).done) return;
    }
  } catch {
    await reader.cancel().catch(() => {}); // It may be broken already.
  }
}
