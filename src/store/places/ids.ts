// Owns what is remembered of the ids of volumes and disks, what that says of their names, and the demand of a job that each is
// what it was.
import { MkvError, hasCode, reasonOf } from "../../errors";
import { placesOf } from "../../format/placement";
import { isConfigured } from "../../format/volume";
import { type Memory, entriesOf } from "../../ledger/ledger";
import { limits } from "../../limits";
import { warn } from "../../log";
import { inBatches } from "../../turns";
import { type IdentityMemory, seeAll } from "../../volumes/identity";
import { type Volumes } from "../../volumes/volumes";
import { strangerWarning } from "../../volumes/warnings";

/** Under which name the id of a volume or disk is remembered. */
export const idPrefix = "id ";

/**
 * Waits until all places have said who they are. Returns places by the names that they had.
 * @throws MkvError failed: one is not what it was; volume-failed, timeout: one does not say
 */
export async function requireOwnPlaces(volumes: Volumes, memory: Memory): Promise<ReadonlyMap<string, string>> {
  const ids = idsIn(memory);
  await ids.refresh();
  const seen = await seeAll(volumes, ids.names());
  if (ids.names().length === 0) {
    await requireAllOrNone(volumes, seen);
    return new Map();
  }
  for (const name of ids.names()) {
    const known = ids.get(name);
    if (typeof known !== "string" || !seen.has(name) || seen.get(name) === known) continue;
    const advice = `mount it, or run "mkv adopt ${name}" if it was replaced`;
    throw new MkvError("failed", `${name} is not the disk it was: ${advice}`);
  }
  return renamedIn(volumes, ids, new Map([...seen].map(([name, id]) => [id, name])));
}

/** Throws MkvError failed if a place is new and may be another store's, of those that have just been asked. */
export async function requireNoStrangers({ topology, health }: Volumes, memory: Memory): Promise<void> {
  for (const volume of topology.volumes) {
    const name = placesOf(topology, volume).find((place) => health.isForeign(place));
    if (name === undefined || (await memory.get(idPrefix + name)) !== undefined) continue; // See `requireOwnPlaces`.
    throw new MkvError("failed", `${name} ${strangerWarning(name)}`);
  }
}

/** Throws MkvError failed if some places carry an id, and others that are there do not: it may be that they are not mounted. */
async function requireAllOrNone(volumes: Volumes, seen: ReadonlyMap<string, string | undefined>): Promise<void> {
  if ([...seen.values()].every((id) => !id)) return;
  for (const [name, id] of seen) {
    if (id !== undefined || !(await isThere(volumes, name))) continue;
    throw new MkvError("failed", `${name} has no id, and others have: mount its disk, or leave it out if it is new`);
  }
}

async function isThere(volumes: Volumes, name: string): Promise<boolean> {
  try {
    for await (const _page of volumes.list(name, "/")) break;
    return true;
  } catch (error) {
    if (hasCode(error, "absent")) return false;
    throw error;
  }
}

/**
 * Places by the names that they had, with those that they have now: both carry one id.
 * @param configured the names that places have now, by id
 */
export function renamedIn(
  { topology }: Volumes,
  ids: IdentityMemory,
  configured: ReadonlyMap<string | null | undefined, string>,
): Map<string, string> {
  const names = ids.names();
  const renamed = new Map<string, string>();
  for (const name of names) {
    const now = configured.get(ids.get(name));
    if (!isConfigured(topology, name) && typeof ids.get(name) === "string" && now !== undefined) renamed.set(name, now);
  }
  return renamed;
}

/** What is remembered of ids, as it was at the last `refresh`, and what was put since. */
type Ids = IdentityMemory & {
  refresh(): Promise<void>;
  /** Waits until all that was put is written down; what could not be is learnt anew. */
  written(): Promise<unknown>;
};

export function idsIn(memory: Memory): Ids {
  let known = new Map<string, string | null>();
  const writes: Promise<void>[] = [];
  return {
    get: (name) => known.get(name),
    names: () => [...known.keys()],
    async put(name, id) {
      known.set(name, id);
      writes.push(memory.put(idPrefix + name, id).catch((error) => warn(`${reasonOf(error)}`)));
    },
    async begin(names) {
      const news = names.filter((name) => !known.has(name));
      await inBatches(news, limits.foldersAtOnce, (name) => memory.put(idPrefix + name, null));
      for (const name of news) known.set(name, null);
    },
    async refresh() {
      const found = await Array.fromAsync(entriesOf(memory, idPrefix));
      known = new Map(found.map(([name, id]) => [name.slice(idPrefix.length), typeof id === "string" ? id : null]));
    },
    written: () => Promise.all(writes.splice(0)),
  };
}
