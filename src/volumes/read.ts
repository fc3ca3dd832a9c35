// Owns what is asked of one file of a volume, without changing it.
import { MkvError, hasCode } from "../errors";
import { earlierPathOf } from "../format/path";
import { type Client, unexpected } from "./client";
import { refuseForeign } from "./warnings";
import { type Body } from "./http/body";
import { type Answer, fieldOf } from "./http/connection";

/** What a volume says of a file. `modified` is an HTTP date. */
export type FileInfo = { readonly bytes: number; readonly modified: string };

/** Which bytes of a file: from this one on, and so many. */
export type ByteRange = { readonly from: number; readonly bytes: number };

/** A file that is open for reading, chunk by chunk; `bytes` are those of the whole file. */
export type OpenFile = FileInfo & {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Lets go of its connection: to be called where nothing is read of it. */
  close(): void;
};

/** The same of an answer that may be of no file. */
type OpenAnswer = Omit<OpenFile, "bytes"> & { readonly bytes: number | undefined };

/** What the volume says of a value, wherever it lies; undefined if it has none. Throws MkvError where it cannot tell. */
export async function headValue(client: Client, volume: string, path: string): Promise<FileInfo | undefined> {
  const found = await headFile(client, volume, path);
  const earlier = found ? undefined : earlierPathOf(path);
  return earlier === undefined ? found : await headValue(client, volume, earlier);
}

/** Asks whether the volume holds the file of this very path; undefined if it says no. Throws as `headValue`. */
export async function headFile(client: Client, volume: string, path: string): Promise<FileInfo | undefined> {
  refuseForeign(client.health, volume);
  const answer = await client.ask(volume, path, "HEAD");
  const { status, bytes, modified } = answer;
  if (status === 404 || isFolder(answer, path)) return undefined;
  if (status !== 200) throw unexpected(volume, status);
  return requireFile(volume, { bytes, modified });
}

/** Throws MkvError volume-failed if this is said of no file: something in front of the volume may answer 200 to everything. */
function requireFile<T extends Pick<OpenAnswer, "bytes" | "modified">>(volume: string, file: T): T & FileInfo {
  const { bytes, modified } = file;
  if (!Number.isNaN(Date.parse(modified)) && Number.isFinite(bytes)) return { ...file, bytes: bytes! };
  const why = "without Last-Modified or Content-Length: does something in front of it answer for it?";
  throw new MkvError("volume-failed", `${volume} answered as nginx does for no file, ${why}`);
}

/**
 * Opens a value, or a part of it, for reading, wherever it lies.
 * @param how.firstByteMs longest wait for the answer to begin
 * @throws MkvError absent, volume-failed, timeout; `chunks` throws them as well, also if the body ends early
 */
export async function openValue(client: Client, volume: string, path: string, how: Opening): Promise<OpenFile> {
  refuseForeign(client.health, volume);
  const file = await openWherever(client, volume, path, how);
  try {
    return requireFile(volume, file);
  } catch (error) {
    file.close();
    throw error;
  }
}

async function openWherever(client: Client, volume: string, path: string, how: Opening): Promise<OpenAnswer> {
  try {
    return await openAny(client, volume, path, how);
  } catch (error) {
    const earlier = earlierPathOf(path);
    if (earlier === undefined || !hasCode(error, "absent")) throw error;
    return await openWherever(client, volume, earlier, how);
  }
}

type Opening = {
  readonly firstByteMs: number;
  readonly range?: ByteRange | undefined;
  /** See `Client.ask`. */
  readonly onTimeout?: () => MkvError;
};

/** The same on a disk that may not be the one it was, for what is no value. */
export async function openAny(
  client: Client,
  volume: string,
  path: string,
  { firstByteMs, range, ...how }: Opening,
): Promise<OpenAnswer> {
  const more = range && `Range: bytes=${range.from}-${range.from + range.bytes - 1}\r\n`;
  const answer = await client.ask(volume, path, "GET", { timeoutMs: firstByteMs, more, ...how });
  const { status, modified, body } = answer;
  if (status === 404 || isFolder(answer, path)) throw new MkvError("absent", `${volume}${path} is not there`);
  if (!body || status !== (range ? 206 : 200)) {
    body?.close();
    throw unexpected(volume, status);
  }
  const total = range ? Number(/\/(\d+)$/.exec(fieldOf(answer, "content-range") ?? "")?.[1]) : answer.bytes;
  return { bytes: total, modified, chunks: read(client, volume, body), close: () => body.close() };
}

/** Whether this is nginx's answer for a folder: that its path ends in "/". */
export function isFolder(answer: Answer, path: string): boolean {
  return answer.status === 301 && (fieldOf(answer, "location") ?? "").endsWith(`${path}/`);
}

async function* read(client: Client, volume: string, body: Body): AsyncGenerator<Uint8Array> {
  const { stalltimeoutMs } = client.settings;
  const onTimeout = () => client.lateBy(volume, stalltimeoutMs);
  try {
    for (let chunk; (chunk = await body.next(stalltimeoutMs, onTimeout));) yield chunk;
  } catch (error) {
    throw client.failure(volume, error);
  } finally {
    body.close();
  }
}
