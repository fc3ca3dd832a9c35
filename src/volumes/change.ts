// Owns the changes of a volume that need no body: removing a file, moving one, and bringing one, or its absence, to the disk,
// which the sync service does that `mkv volume` runs.
// A DELETE of a path that ends in "/" would remove all that is in a folder: none does, and the script `volume` refuses it.
import { strict as assert } from "node:assert";
import { MkvError } from "../errors";
import { earlierPathOf } from "../format/path";
import { belowServer, serverOf } from "../format/volume";
import { limits } from "../limits";
import { type Client, unexpected } from "./client";
import { refuseForeign } from "./warnings";
import { headFile } from "./read";

/** Removes a value, wherever it lies; else as `removeFile`. */
export async function removeValue(client: Client, volume: string, path: string): Promise<boolean> {
  const wasThere = await removeFile(client, volume, path);
  const earlier = earlierPathOf(path);
  if (earlier === undefined) return wasThere;
  return (await removeValue(client, volume, earlier)) || wasThere;
}

/**
 * Removes the file of this very path, for good under `sync`; false if it was not there, which is as good. So it is where a
 * folder lies in its place, or a file in that of one of its folders: nginx answers 409 then.
 * @throws MkvError if not confirmed
 */
export async function removeFile(client: Client, volume: string, path: string): Promise<boolean> {
  assert(!path.endsWith("/"), "a folder is never removed");
  refuseForeign(client.health, volume);
  const { status } = await client.change(volume, path, { method: "DELETE" }, limits.confirmMs);
  const isAbsent = status === 404 || (status === 409 && (await headFile(client, volume, path)) === undefined);
  if (status !== 204 && !isAbsent) throw unexpected(volume, status);
  if (client.settings.sync) await syncFile(client, volume, path, "gone");
  return !isAbsent;
}

/**
 * Moves a file on one disk, over what is there, for good if `sync` says so; false if there is no such file.
 * @throws MkvError if not confirmed
 */
export async function moveFile(
  client: Client,
  volume: string,
  { from, to, sync }: { from: string; to: string; sync: boolean },
): Promise<boolean> {
  refuseForeign(client.health, volume);
  const destination = belowServer(volume) + to;
  const { status } = await client.change(volume, from, { method: "MOVE", destination }, limits.confirmMs);
  if (status === 404) return false;
  if (status !== 204 && status !== 201) throw unexpected(volume, status);
  if (sync) await syncFile(client, volume, to, "there");
  const earlier = earlierPathOf(to);
  if (earlier !== undefined) await removeValue(client, volume, earlier);
  return true;
}

/** Waits until a value, wherever it lies, or its absence is on the disk. Throws as `syncFile`; unavailable on a foreign disk. */
export async function syncValue(client: Client, volume: string, path: string, expected: Expected): Promise<void> {
  refuseForeign(client.health, volume);
  const earlier = earlierPathOf(path);
  const isEarlier = earlier !== undefined && expected === "there" && (await ask(client, volume, path)) === "gone";
  await (isEarlier ? syncValue(client, volume, earlier, expected) : syncFile(client, volume, path, expected));
}

type Expected = "there" | "gone";

/** The same for the file of this very path. Throws MkvError volume-failed if there is no such service, or something else than expected; timeout. */
export async function syncFile(client: Client, volume: string, path: string, expected: Expected): Promise<void> {
  const found = await ask(client, volume, path);
  if (found === undefined) throw noService(volume);
  if (found !== expected) throw new MkvError("volume-failed", `${volume}${path} should be ${expected}, and is not`);
}

/** Whether the server has the service. Throws MkvError if it cannot tell. */
export async function hasService(client: Client, server: string): Promise<boolean> {
  return (await ask(client, server, "/")) !== undefined;
}

/** The failure of a volume without the service. */
export function noService(volume: string): MkvError {
  return new MkvError(
    "volume-failed",
    `${volume} has no sync service: start it with "mkv volume", or mkv without -sync`,
  );
}

/** What the service finds; undefined if there is none. For hundreds at once nginx answers 502: they ask again. */
async function ask(client: Client, volume: string, path: string): Promise<Expected | undefined> {
  const post = () =>
    client.ask(serverOf(volume), `/.sync${belowServer(volume)}${path}`, "POST", { timeoutMs: limits.syncMs });
  let { status } = await post();
  for (let waitMs = limits.syncPauseMs; status === 502 && waitMs < limits.patienceMs; waitMs *= 4) {
    await Bun.sleep(waitMs * (0.5 + Math.random()));
    ({ status } = await post());
  }
  if (status === 204) return "there";
  if (status === 410) return "gone";
  if (status === 401 || status === 403) throw unexpected(volume, status);
  if (status === 500) throw new MkvError("volume-failed", `${volume} cannot sync ${path}: its log says why`);
  return undefined;
}
