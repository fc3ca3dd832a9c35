// Owns the file that says who a volume or a disk is: `/mkv/id` below it, a UUID and a line break.
import { MkvError } from "../errors";
import { type Client } from "./client";
import { syncFile } from "./change";
import { refuseForeign } from "./warnings";
import { readSmall, writeSmall } from "./small-file";

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
  try {
    const id = (await readSmall(client, name, path, { mostBytes: fileBytes })).trimEnd();
    return uuid.test(id) ? { kind: "id", id } : { kind: "nonsense" };
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    return error.code === "absent" ? { kind: "none" } : { kind: "unknown", why: error };
  }
}

/** The same; undefined if it has no id. Throws MkvError unavailable if it does not say. */
export async function idOf(client: Client, name: string): Promise<string | undefined> {
  const found = await askId(client, name);
  if (found.kind === "unknown") throw new MkvError("unavailable", `${name} does not say who it is`);
  return found.kind === "id" ? found.id : undefined;
}

/**
 * Asks a disk who it is that lacks a file: one that was unmounted just now, or is another, says nothing of what was on it.
 * @throws MkvError unavailable if it is not the one it was, or does not say
 */
export async function requireOwn(client: Client, name: string): Promise<void> {
  const { health } = client;
  if (!health.isAnother(name, undefined)) return; // It has had no id.
  if (!health.isAnother(name, await idOf(client, name))) return;
  health.setForeign(name, true);
  health.askAll();
  refuseForeign(health, name);
}

/** Gives it a new id, and asks for that. Throws MkvError if the volume does not take it. */
export async function writeId(client: Client, name: string): Promise<SeenId> {
  await writeSmall(client, name, path, `${crypto.randomUUID()}\n`);
  if (client.settings.sync) await syncFile(client, name, path, "there");
  return await askId(client, name);
}
