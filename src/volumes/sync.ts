// Owns the asking for a file, or its absence, to be on the disk of its volume: the sync service that `mkv volume` runs.
import { MkvError } from "../errors";
import { earlierPathOf } from "../format/path";
import { belowServer, serverOf } from "../format/volume";
import { limits } from "../limits";
import { type Client, unexpected } from "./client";
import { refuseForeign } from "./health";

/** Waits until a value, wherever it lies, or its absence is on the disk. Throws as `syncFile`; unavailable on a foreign disk. */
export async function syncValue(client: Client, volume: string, path: string, expected: Expected): Promise<void> {
  refuseForeign(client.health, volume);
  const earlier = earlierPathOf(path);
  const isEarlier = earlier !== undefined && expected === "there" && (await ask(client, volume, path)) === "gone";
  await syncFile(client, volume, isEarlier ? earlier : path, expected);
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

/** What the service finds; undefined if there is none. */
async function ask(client: Client, volume: string, path: string): Promise<Expected | undefined> {
  const { status } = await client.ask(serverOf(volume), `/.sync${belowServer(volume)}${path}`, "POST", limits.syncMs);
  if (status === 204) return "there";
  if (status === 410) return "gone";
  if (status === 401) throw unexpected(volume, status);
  if (status === 500) throw new MkvError("volume-failed", `${volume} cannot sync ${path}: its log says why`);
  return undefined;
}
