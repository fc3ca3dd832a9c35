// Owns the refusal to make a new index where volumes have values: a missing index is not an empty one.
import { MkvError, reasonOf } from "../../errors";
import { warn } from "../../log";
import { AccessRefused } from "../../volumes/client";
import { files, folders } from "../../volumes/folders";
import { type Volumes } from "../../volumes/volumes";

/**
 * Refuses to make a new index at `db` while a volume has values. Returns whether all volumes could be looked at.
 * @throws MkvError failed; also if there was an index here, and a volume cannot be looked at
 */
export async function requireNoValues(
  volumes: Volumes,
  { db, hadOne }: { db: string; hadOne: boolean },
): Promise<{ isSure: boolean }> {
  let isSure = true;
  for (const volume of volumes.topology.volumes) {
    const isThere = await volumes.wake(volume);
    try {
      if (!isThere) throw new MkvError("unavailable", "it does not answer");
      if (!(await hasValues(volumes, volume))) continue;
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      const why = `whether ${volume} has values is not known: ${reasonOf(error)}`;
      if (hadOne) throw failed(`there is no index at ${db} any more, and ${why}: run rebuild first`);
      // Where the master has none, users bring theirs.
      const isRefused = error instanceof AccessRefused;
      if (isRefused && volumes.settings.credentials !== undefined)
        throw failed(`there is no index at ${db}, and ${why}`);
      const advice = isRefused
        ? "the new one may lack keys: run rebuild with -userpass or -linkkey"
        : "if it has, run rebuild when it is back";
      warn(`there is no index at ${db}, and ${why}; ${advice}`);
      isSure &&= isThere && !isRefused; // One that is open to all and shows no listing is no volume of values.
      continue;
    }
    throw failed(`there is no index at ${db}, but ${volume} has values: run rebuild first`);
  }
  return { isSure };
}

async function hasValues(volumes: Volumes, volume: string): Promise<boolean> {
  for await (const folder of folders(volumes, { on: [volume] })) {
    for await (const page of files(volumes, folder)) if (page.length > 0) return true;
  }
  return false;
}

function failed(text: string): MkvError {
  return new MkvError("failed", text);
}
