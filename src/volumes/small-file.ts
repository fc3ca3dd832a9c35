// Owns the small files that mkv keeps on a volume or a disk beside the values, below `/mkv/`. They are asked for and written on
// foreign disks as well: how else would those be known.
import { withDeadline } from "../deadline";
import { MkvError } from "../errors";
import { type Client } from "./client";
import { openAny } from "./read";
import { requireStored } from "./stored";

/**
 * What is there, byte by byte; of more than `mostBytes` only the beginning. A disk that hangs is no sign that its server does
 * not answer: the health is told nothing of it.
 * @throws MkvError absent, volume-failed, timeout
 */
export async function readSmall(
  client: Client,
  name: string,
  path: string,
  { mostBytes, timeoutMs = client.settings.voltimeoutMs }: { mostBytes: number; timeoutMs?: number },
): Promise<string> {
  const onTimeout = () => new MkvError("timeout", `${name} has not told ${path} for ${timeoutMs} ms`);
  const { chunks, close } = await openAny(client, name, path, { firstByteMs: timeoutMs, onTimeout });
  const read = async () => {
    let text = "";
    for await (const chunk of chunks) {
      text += Buffer.from(chunk).toString("latin1");
      if (text.length > mostBytes) break;
    }
    return text;
  };
  return await withDeadline(timeoutMs, read(), onTimeout).finally(close);
}

/** Throws MkvError if the volume does not take it. */
export async function writeSmall(client: Client, name: string, path: string, text: string): Promise<void> {
  const body = Buffer.from(text);
  const request = { method: "PUT" as const, headers: `Content-Length: ${body.length}\r\n`, body };
  const { status } = await client.change(name, path, request, client.settings.voltimeoutMs);
  await requireStored(client, name, path, status);
}
