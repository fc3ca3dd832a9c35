// Owns what is asked of one file of a volume, without changing it.
import { MkvError } from "../errors";
import { type Client, unexpected } from "./client";
import { refuseForeign } from "./health";
import { type Body } from "./http/body";

/** What a volume says of a file. `modified` is an HTTP date. */
export type FileInfo = { readonly bytes: number; readonly modified: string };

/** A file that is open for reading, chunk by chunk. */
export type OpenFile = {
  readonly bytes: number | undefined;
  readonly modified: string;
  readonly chunks: AsyncIterable<Uint8Array>;
};

/** Asks whether the volume holds the file; undefined if it says no. Throws MkvError where it cannot tell. */
export async function headFile(client: Client, volume: string, path: string): Promise<FileInfo | undefined> {
  refuseForeign(client.health, volume);
  const { status, bytes, modified } = await client.ask(volume, path, "HEAD");
  if (status === 404) return undefined;
  if (status !== 200) throw unexpected(volume, status);
  return { bytes: bytes ?? 0, modified };
}

/**
 * Opens a file for reading.
 * @param firstByteMs longest wait for the answer to begin
 * @throws MkvError absent, volume-failed, timeout; `chunks` throws them as well, also if the body ends early
 */
export async function openFile(client: Client, volume: string, path: string, firstByteMs: number): Promise<OpenFile> {
  refuseForeign(client.health, volume);
  return await openAny(client, volume, path, firstByteMs);
}

/** The same on a disk that may not be the one it was, for what is no value. */
export async function openAny(client: Client, volume: string, path: string, firstByteMs: number): Promise<OpenFile> {
  const { status, bytes, modified, body } = await client.ask(volume, path, "GET", firstByteMs);
  if (status === 404) throw new MkvError("absent", `${volume}${path} is not there`);
  if (!body) throw unexpected(volume, status);
  return { bytes, modified, chunks: read(client, volume, body) };
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
