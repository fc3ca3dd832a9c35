// Owns the requests to a volume server, each with a deadline; every answer and every failure is told to the health.
// A volume is `host:port[/path][/svXX]`; a path is one of `format/path.ts`.
import { MkvError, reasonOf } from "../errors";
import { limits } from "../limits";
import { type Body } from "./http/body";
import { type Answer } from "./http/connection";
import { type Health } from "./health";
import { belowServer, serverOf } from "../format/volume";
import { exchange } from "./http/pool";

/** What every request to a volume needs to know. */
export type VolumeAccess = {
  readonly health: Health;
  /** Longest wait for the answer to a request without a body. */
  readonly voltimeoutMs: number;
  /** Longest time without progress in the middle of a body. */
  readonly stalltimeoutMs: number;
  /** Value of the `Authorization` header, for volumes that ask for one. */
  readonly credentials: string | undefined;
  /** Whether a write or delete only counts once it is on the volume's disk. */
  readonly sync: boolean;
};

/** What a volume says of a file. `modified` is an HTTP date. */
export type FileInfo = { readonly bytes: number; readonly modified: string };

/** Asks whether the volume holds the file; undefined if it says no. Throws MkvError where it cannot tell. */
export async function head(access: VolumeAccess, volume: string, path: string): Promise<FileInfo | undefined> {
  const { status, bytes, modified } = await ask(access, volume, path, "HEAD");
  if (status === 404) return undefined;
  if (status !== 200) throw unexpected(volume, status);
  return { bytes: bytes ?? 0, modified };
}

/** Removes the file, for good if sync; that it was not there is as good. Throws MkvError if not confirmed. */
export async function remove(access: VolumeAccess, volume: string, path: string): Promise<void> {
  const { status } = await ask(access, volume, path, "DELETE");
  if (status !== 204 && status !== 404) throw unexpected(volume, status);
  if (access.sync) await sync(access, volume, path, { expected: "gone" });
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
  const patient = { ...access, voltimeoutMs: limits.syncMs };
  const { status } = await ask(patient, serverOf(volume), `/.sync${belowServer(volume)}${path}`, "POST");
  if (status === (expected === "there" ? 204 : 410)) return;
  if (status === 204 || status === 410) {
    throw new MkvError("volume-failed", `${volume}${path} should be ${expected}, and is not`);
  }
  if (status === 401) throw unexpected(volume, status);
  if (status === 500) throw new MkvError("volume-failed", `${volume} cannot sync ${path}: its log says why`);
  throw new MkvError(
    "volume-failed",
    `${volume} has no sync service: start it with "mkv volume", or mkv without -sync`,
  );
}

/** Asks the server of the volume for a sign of life, unless it has given one just now. */
export async function isAwake(access: VolumeAccess, volume: string): Promise<boolean> {
  return access.health.isFresh(volume) || (await probe(access, volume));
}

/** Whether a volume gives a sign of life and has settled, which is waited for, for at most `patienceMs`. */
export async function isReady(access: VolumeAccess, volume: string): Promise<boolean> {
  if (!(await isAwake(access, volume))) return false;
  const { health } = access;
  const untilMs = performance.now() + limits.patienceMs;
  while (!health.isSettled(volume)) {
    if (!health.isUp(volume) || performance.now() > untilMs) return false;
    await Bun.sleep(limits.busyPauseMs);
  }
  return true;
}

/** Asks the server of the volume for a sign of life; concurrent questions are one. */
export function probe(access: VolumeAccess, volume: string): Promise<boolean> {
  const server = serverOf(volume);
  const question = `${server} ${access.voltimeoutMs}`;
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
export async function checkUser(access: VolumeAccess, volume: string): Promise<"good" | "wrong" | "unprotected"> {
  const [stranger, user] = await Promise.all([
    ask({ ...access, credentials: undefined }, serverOf(volume), "/", "HEAD"),
    ask(access, serverOf(volume), "/", "HEAD"),
  ]);
  if (stranger.status !== 401) {
    if (stranger.status === 200) return "unprotected";
    throw unexpected(volume, stranger.status);
  }
  if (user.status === 401) return "wrong";
  if (user.status === 200) return "good";
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
): Promise<{ bytes: number | undefined; modified: string; chunks: AsyncIterable<Uint8Array> }> {
  const { status, bytes, modified, body } = await ask({ ...access, voltimeoutMs: firstByteMs }, volume, path, "GET");
  if (status === 404) throw new MkvError("absent", `${volume}${path} is not there`);
  if (!body) throw unexpected(volume, status);
  return { bytes, modified, chunks: read(access, volume, body) };
}

async function* read(access: VolumeAccess, volume: string, body: Body): AsyncGenerator<Uint8Array> {
  const onTimeout = () => tooLate(access, volume, access.stalltimeoutMs);
  try {
    for (
      let chunk = await body.next(access.stalltimeoutMs, onTimeout);
      chunk;
      chunk = await body.next(access.stalltimeoutMs, onTimeout)
    ) {
      yield chunk;
    }
  } catch (error) {
    throw failureOf(access, volume, error);
  } finally {
    body.close();
  }
}

function ask(
  access: VolumeAccess,
  volume: string,
  path: string,
  method: "HEAD" | "GET" | "DELETE" | "POST",
): Promise<Answer> {
  const onTimeout = () => {
    if (method === "DELETE") access.health.silent(volume);
    return tooLate(access, volume, access.voltimeoutMs);
  };
  const headers = `${authorization(access)}${method === "POST" ? "Content-Length: 0\r\n" : ""}`;
  return exchange({ method, volume, path, headers }, { timeoutMs: access.voltimeoutMs, onTimeout }).then(
    (answer) => {
      access.health.heard(volume);
      return answer;
    },
    (error) => {
      throw failureOf(access, volume, error);
    },
  );
}

/** The header line that the credentials make, if there are any. */
export function authorization({ credentials }: VolumeAccess): string {
  return credentials === undefined ? "" : `Authorization: ${credentials}\r\n`;
}

/** Accepts the status of a PUT. Throws MkvError volume-failed for any that does not say "stored". */
export function checkStored(access: VolumeAccess, volume: string, status: number): void {
  if (status >= 500) access.health.full(volume);
  if (status !== 201 && status !== 204) throw unexpected(volume, status);
  access.health.heard(volume);
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
export function tooLate(access: VolumeAccess, volume: string, afterMs: number): MkvError {
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

const probes = new Map<string, Promise<boolean>>();
