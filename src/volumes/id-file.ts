// Owns the file that says who a volume or a disk is: `/mkv/id` below it, a UUID and a line break. It is asked for and
// written on foreign disks as well: how else would they be known.
import { MkvError } from "../errors";
import { type Client } from "./client";
import { openAny } from "./read";
import { requireStored } from "./stored";
import { syncFile } from "./change";

/**
 * What is there of an id. `unknown`: the volume does not answer, lets nobody in, or fails; `nonsense`: something else than
 * an id.
 */
export type SeenId =
  | { readonly kind: "id"; readonly id: string }
  | { readonly kind: "none" }
  | { readonly kind: "nonsense" }
  | { readonly kind: "unknown"; readonly why?: MkvError };

const path = "/mkv/id";
const uuid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const fileBytes = 37;

/** Asks a volume or a disk who it is. */
export async function askId(client: Client, name: string): Promise<SeenId> {
  let text = "";
  try {
    const { bytes, chunks } = await openAny(client, name, path, { firstByteMs: client.settings.voltimeoutMs });
    if (bytes !== undefined && bytes > fileBytes) text = "too long";
    for await (const chunk of chunks) {
      text += Buffer.from(chunk).toString("latin1");
      if (text.length > fileBytes) break;
    }
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    return error.code === "absent" ? { kind: "none" } : { kind: "unknown", why: error };
  }
  const id = text.trimEnd();
  return uuid.test(id) ? { kind: "id", id } : { kind: "nonsense" };
}

/** Gives it a new id, and asks for that. Throws MkvError if the volume does not take it. */
export async function writeId(client: Client, name: string): Promise<SeenId> {
  const body = Buffer.from(`${crypto.randomUUID()}\n`);
  const headers = `Content-Length: ${body.length}\r\n${client.authorization}`;
  const { stalltimeoutMs, sync } = client.settings;
  const { status } = await client.change(name, path, { method: "PUT", headers, body }, stalltimeoutMs);
  await requireStored(client, name, path, status);
  if (sync) await syncFile(client, name, path, "there");
  return await askId(client, name);
}
