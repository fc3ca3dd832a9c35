// Owns the small files that mkv keeps on a volume or a disk beside the values, below `/mkv/`. They are asked for and written on
// foreign disks as well: how else would those be known.
import { type Client } from "./client";
import { openAny } from "./read";
import { requireStored } from "./stored";

/** What is there, byte by byte; of more than `mostBytes` only the beginning. Throws MkvError absent, volume-failed, timeout. */
export async function readSmall(client: Client, name: string, path: string, mostBytes: number): Promise<string> {
  const { chunks } = await openAny(client, name, path, { firstByteMs: client.settings.voltimeoutMs });
  let text = "";
  for await (const chunk of chunks) {
    text += Buffer.from(chunk).toString("latin1");
    if (text.length > mostBytes) break;
  }
  return text;
}

/** Throws MkvError if the volume does not take it. */
export async function writeSmall(client: Client, name: string, path: string, text: string): Promise<void> {
  const body = Buffer.from(text);
  const request = { method: "PUT" as const, headers: `Content-Length: ${body.length}\r\n`, body };
  const { status } = await client.change(name, path, request, client.settings.voltimeoutMs);
  await requireStored(client, name, path, status);
}
