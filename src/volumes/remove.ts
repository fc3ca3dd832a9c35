// Owns the removal of a file from several volumes, and what is said of those that have not confirmed it.
import { MkvError, reasonOf } from "../errors";
import { removeValue } from "./change";
import { type Client } from "./client";
import { requireOwn } from "./id-file";
import { type Probes, settles } from "./probes";
import { type FileInfo, headValue } from "./read";

export type RemoveOptions = {
  readonly waitMs: number;
  readonly beside?: ReadonlyMap<string, FileInfo> | undefined;
};

/** A volume that has not confirmed a removal: a file may still be on it. */
export type Unconfirmed = {
  readonly volume: string;
  readonly reason: string;
  /** Whether it was not known to be down. */
  readonly wasAsked: boolean;
  /** See `Volumes.removeAll`. */
  readonly isLonger?: boolean;
};

/** Why nothing may be removed there now, as it is told; undefined if it may. */
export function whyUnsettled({ health }: Client, volume: string): string | undefined {
  if (health.isSettled(volume)) return undefined;
  return health.isUp(volume) ? "has come back just now" : "is down";
}

/** Removes a file, as `Volumes.remove`. */
export async function remove(client: Client, volume: string, path: string): Promise<void> {
  if (!(await removeValue(client, volume, path))) await requireOwn(client, volume);
}

/** Removes a file, as `Volumes.removeAll`; undefined if that is confirmed. */
export async function removeFrom(
  client: Client,
  probes: Probes,
  { volume, path, waitMs, beside }: RemoveOptions & { readonly volume: string; readonly path: string },
): Promise<Unconfirmed | undefined> {
  const isUp = client.health.isUp(volume); // One that is not configured always is.
  if (isUp && !(await probes.isWorthAsking(client, volume)))
    return { volume, reason: `${volume} does not answer`, wasAsked: true };
  if (waitMs > 0 || !isUp) await probes.isAwake(client, volume);
  const why = whyUnsettled(client, volume);
  if (why !== undefined && !(await settles(client, volume, waitMs)))
    return { volume, reason: `${volume} ${why}`, wasAsked: false };
  const other = beside?.get(volume);
  try {
    const file = other && (await headValue(client, volume, path));
    const isLonger = file !== undefined && file.bytes > other!.bytes && file.modified === other!.modified;
    const reason = `${volume}${path} is longer than the copies that its record names`;
    if (isLonger) return { volume, reason, wasAsked: true, isLonger };
    await remove(client, volume, path);
    return undefined;
  } catch (error) {
    if (!(error instanceof MkvError)) throw error;
    return { volume, reason: reasonOf(error), wasAsked: true };
  }
}
