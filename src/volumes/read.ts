// Owns what is asked of one file of a volume, without changing it.
import { MkvError } from "../errors";
import { earlierPathOf } from "../format/path";
import { type Client, unexpected } from "./client";
import { refuseForeign } from "./health";
import { type Body } from "./http/body";
import { type Answer, fieldOf } from "./http/connection";

/** What a volume says of a file. `modified` is an HTTP date. */
export type FileInfo = { readonly bytes: number; readonly modified: string };

/** A file that is open for reading, chunk by chunk. */
export type OpenFile = {
  readonly bytes: number | undefined;
  readonly modified: string;
  readonly chunks: AsyncIterable<Uint8Array>;
};

/** What the volume says of a value, wherever it lies; undefined if it has none. Throws MkvError where it cannot tell. */
export async function headValue(client: Client, volume: string, path: string): Promise<FileInfo | undefined> {
  const earlier = earlierPathOf(path);
  const found = await headFile(client, volume, path);
  return found || earlier === undefined ? found : await headFile(client, volume, earlier);
}

/** Asks whether the volume holds the file of this very path; undefined if it says no. Throws as `headValue`. */
export async function headFile(client: Client, volume: string, path: string): Promise<FileInfo | undefined> {
  refuseForeign(client.health, volume);
  const answer = await client.ask(volume, path, "HEAD");
  const { status, bytes, modified } = answer;
  if (status === 404 || isFolder(answer, path)) return undefined;
  if (status !== 200) throw unexpected(volume, status);
  return { bytes: bytes ?? 0, modified };
}

/**
 * Opens a value for reading, wherever it lies.
 * @param firstByteMs longest wait for the answer to begin
 * @throws MkvError absent, volume-failed, timeout; `chunks` throws them as well, also if the body ends early
 */
export async function openValue(client: Client, volume: string, path: string, firstByteMs: number): Promise<OpenFile> {
  refuseForeign(client.health, volume);
  try {
    return await openAny(client, volume, path, firstByteMs);
  } catch (error) {
    const earlier = earlierPathOf(path);
    if (earlier === undefined || !(error instanceof MkvError) || error.code !== "absent") throw error;
    return await openAny(client, volume, earlier, firstByteMs);
  }
}

/** The same on a disk that may not be the one it was, for what is no value. */
export async function openAny(client: Client, volume: string, path: string, firstByteMs: number): Promise<OpenFile> {
  const answer = await client.ask(volume, path, "GET", firstByteMs);
  const { status, bytes, modified, body } = answer;
  if (status === 404 || isFolder(answer, path)) throw new MkvError("absent", `${volume}${path} is not there`);
  if (!body) throw unexpected(volume, status);
  return { bytes, modified, chunks: read(client, volume, body) };
}

/** Whether this is nginx's answer for a folder: that its path ends in "/". */
export function isFolder(answer: Answer, path: string): boolean {
  return answer.status === 301 && (fieldOf(answer, "location") ?? "").endsWith(`${path}/`);
}

async function* read(client: Client, volume: string, body: Body): AsyncGenerator<Uint8Array> {
  const { stalltimeoutMs } = client.settings;
  const onTimeout = () => client.lateBy(volume, stalltimeoutMs);
  try {
    for (
      let chunk = await body.next(stalltimeoutMs, onTimeout);
      chunk;
      chunk = await body.next(stalltimeoutMs, onTimeout)
    ) {
      yield chunk;
    }
  } catch (error) {
    throw client.failure(volume, error);
  } finally {
    body.close();
  }
}
