// Owns the changes of a volume that need no body: removing a file, moving one, bringing one to the disk.
import { belowServer } from "../format/volume";
import { limits } from "../limits";
import { type Client, unexpected } from "./client";
import { refuseForeign } from "./health";
import { syncFile } from "./sync";

/** Removes a file, for good under `sync`; that it was not there is as good. Throws MkvError if not confirmed. */
export async function removeFile(client: Client, volume: string, path: string, timeoutMs: number): Promise<void> {
  refuseForeign(client.health, volume);
  const request = { method: "DELETE" as const, headers: client.authorization, body: undefined };
  const { status } = await client.change(volume, path, request, timeoutMs);
  if (status !== 204 && status !== 404) throw unexpected(volume, status);
  if (client.settings.sync) await syncFile(client, volume, path, { expected: "gone" });
}

/**
 * Moves a file on one disk, over what is there, for good under `sync`; false if there is no such file.
 * @throws MkvError if not confirmed
 */
export async function moveFile(
  client: Client,
  volume: string,
  { from, to }: { from: string; to: string },
): Promise<boolean> {
  refuseForeign(client.health, volume);
  const destination = belowServer(volume) + to;
  const request = { method: "MOVE" as const, headers: client.authorization, body: undefined, destination };
  const { status } = await client.change(volume, from, request, limits.confirmMs);
  if (status === 404) return false;
  if (status !== 204 && status !== 201) throw unexpected(volume, status);
  if (client.settings.sync) await syncFile(client, volume, to, { expected: "there" });
  return true;
}

/** Waits until a file, or its absence, is on the disk. Throws MkvError volume-failed, timeout, unavailable. */
export async function syncPlaced(
  client: Client,
  volume: string,
  path: string,
  options: { expected: "there" | "gone" },
): Promise<void> {
  refuseForeign(client.health, volume);
  await syncFile(client, volume, path, options);
}
