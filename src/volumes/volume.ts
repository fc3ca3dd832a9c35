// Owns the requests to a volume server, each with a deadline; every answer and every failure is told to the health.
// A volume is `host:port[/path][/svXX]`; a path is one of `format/path.ts`.
import { within } from "../deadline";
import { MkvError, reasonOf } from "../errors";
import { Health, serverOf } from "./health";

/** What every request to a volume needs to know. */
export type VolumeAccess = {
  readonly health: Health;
  /** Longest wait for the answer to a request without a body. */
  readonly answerMs: number;
  /** Longest time without progress in the middle of a body. */
  readonly silenceMs: number;
  /** Value of the `Authorization` header, for volumes that ask for one. */
  readonly credentials: string | undefined;
  /** Whether a write or delete only counts once it is on the volume's disk. */
  readonly durable: boolean;
};

/** What a volume says of a file. `modified` is an HTTP date. */
export type FileInfo = { readonly bytes: number; readonly modified: string };

/** Asks whether the volume holds the file; undefined if it says no. Throws MkvError where it cannot tell. */
export async function head(access: VolumeAccess, volume: string, path: string): Promise<FileInfo | undefined> {
  const response = await ask(access, volume, path, "HEAD");
  if (response.status === 404) return undefined;
  if (response.status !== 200) throw unexpected(volume, response.status);
  return infoOf(response);
}

/** Removes the file, for good if durable; that it was not there is as good. Throws MkvError if not confirmed. */
export async function remove(access: VolumeAccess, volume: string, path: string): Promise<void> {
  const response = await ask(access, volume, path, "DELETE");
  await response.body?.cancel();
  if (response.status !== 204 && response.status !== 404) throw unexpected(volume, response.status);
  if (access.durable) await sync(access, volume, path, { expected: "gone" });
}

/**
 * Waits until a file, or its absence, is on the disk of the volume: asks the sync service that `mkv volume` runs.
 * @throws MkvError volume-failed if the volume has no such service, or finds something else than expected; timeout
 */
export async function sync(
  access: VolumeAccess,
  volume: string,
  path: string,
  { expected }: { expected: "there" | "gone" },
): Promise<void> {
  const below = volume.slice(serverOf(volume).length);
  const response = await ask(access, serverOf(volume), `/.sync${below}${path}`, "POST");
  await response.body?.cancel();
  if (response.status === (expected === "there" ? 204 : 410)) return;
  if (response.status === 204 || response.status === 410) {
    throw new MkvError("volume-failed", `${volume}${path} should be ${expected}, and is not`);
  }
  if (response.status === 401) throw unexpected(volume, response.status);
  throw new MkvError(
    "volume-failed",
    `${volume} has no sync service: start it with "mkv volume", or mkv without -sync`,
  );
}

/** Asks the server of the volume for a sign of life, unless it has given one just now. */
export async function isAwake(access: VolumeAccess, volume: string): Promise<boolean> {
  return access.health.isFresh(volume) || (await probe(access, volume));
}

/** Asks the server of the volume for a sign of life; concurrent questions are one. */
export function probe(access: VolumeAccess, volume: string): Promise<boolean> {
  const server = serverOf(volume);
  const question = `${server} ${access.answerMs}`;
  const asked = probes.get(question);
  if (asked) return asked;
  const answer = ask(access, server, "/", "HEAD").then(
    (response) => response.status < 500,
    () => false, // Silence and refusal are the answer "no"; the health has been told which.
  );
  probes.set(question, answer);
  void answer.finally(() => probes.delete(question));
  return answer;
}

/** What a volume thinks of credentials: `unprotected` if it lets anybody in. Throws MkvError where it cannot tell. */
export async function judge(access: VolumeAccess, volume: string): Promise<"good" | "wrong" | "unprotected"> {
  const [stranger, user] = await Promise.all([
    ask({ ...access, credentials: undefined }, serverOf(volume), "/", "HEAD"),
    ask(access, serverOf(volume), "/", "HEAD"),
  ]);
  if (stranger.status !== 401) {
    if (stranger.ok) return "unprotected";
    throw unexpected(volume, stranger.status);
  }
  if (user.status === 401) return "wrong";
  if (user.ok) return "good";
  throw unexpected(volume, user.status);
}

/**
 * Opens a file for reading, chunk by chunk.
 * @param firstByteMs longest wait for the answer to begin
 * @throws MkvError absent, volume-failed, timeout; `chunks` throws them as well, also if the body ends early
 */
export async function open(
  access: VolumeAccess,
  volume: string,
  path: string,
  firstByteMs: number,
): Promise<FileInfo & { readonly chunks: AsyncIterable<Uint8Array>; readonly close: () => void }> {
  const abort = new AbortController();
  const response = await ask({ ...access, answerMs: firstByteMs }, volume, path, "GET", abort);
  if (response.status !== 200 || !response.body) {
    abort.abort();
    if (response.status === 404) throw new MkvError("absent", `${volume}${path} is not there`);
    throw unexpected(volume, response.status);
  }
  const info = infoOf(response);
  return { ...info, chunks: read(access, volume, response, abort), close: () => abort.abort() };
}

async function* read(access: VolumeAccess, volume: string, response: Response, abort: AbortController) {
  const declared = response.headers.get("content-length");
  const reader = response.body!.getReader();
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await within(access.silenceMs, reader.read(), () =>
        silent(access, volume, access.silenceMs),
      );
      if (done) break;
      bytes += value.length;
      yield value;
    }
    if (declared !== null && bytes !== Number(declared)) {
      throw new MkvError("volume-failed", `${volume} sent ${bytes} of ${declared} bytes`);
    }
  } catch (error) {
    throw failureOf(access, volume, error);
  } finally {
    abort.abort();
  }
}

async function ask(
  access: VolumeAccess,
  volume: string,
  path: string,
  method: "GET" | "HEAD" | "DELETE" | "POST",
  abort = new AbortController(),
): Promise<Response> {
  const timer = setTimeout(() => {
    if (method === "DELETE") access.health.silent(volume);
    abort.abort(silent(access, volume, access.answerMs));
  }, access.answerMs);
  try {
    const headers: Record<string, string> = access.credentials ? { authorization: access.credentials } : {};
    const response = await fetch(`http://${volume}${path}`, {
      method,
      headers,
      redirect: "manual",
      signal: abort.signal,
    });
    access.health.heard(volume);
    return response;
  } catch (error) {
    throw failureOf(access, volume, error);
  } finally {
    clearTimeout(timer);
  }
}

/** The failure that a thrown error of `fetch` stands for; the health has been told of it. */
export function failureOf(access: VolumeAccess, volume: string, error: unknown): MkvError {
  if (error instanceof MkvError) return error;
  access.health.lost(volume);
  const code = (error as { code?: string }).code ?? reasonOf(error);
  const text =
    code === "ECONNREFUSED" || code === "ConnectionRefused" ? "refuses connections" : `cannot be used: ${code}`;
  return new MkvError("volume-failed", `${serverOf(volume)} ${text}`, { cause: error });
}

/** The failure of a volume that let a deadline pass; the health has been told of it. */
export function silent(access: VolumeAccess, volume: string, afterMs: number): MkvError {
  access.health.lost(volume);
  return new MkvError("timeout", `${serverOf(volume)} has not answered for ${afterMs} ms`);
}

/** The failure of a volume that answered with a status it should not. */
export function unexpected(volume: string, status: number): MkvError {
  if (status === 401 || status === 403) {
    return new MkvError("volume-failed", `${volume} refuses access (${status}): check its AUTH file and -userpass`);
  }
  return new MkvError("volume-failed", `${volume} answered ${status}`);
}

function infoOf(response: Response): FileInfo {
  return {
    bytes: Number(response.headers.get("content-length") ?? 0),
    modified: response.headers.get("last-modified") ?? "",
  };
}

const probes = new Map<string, Promise<boolean>>();
