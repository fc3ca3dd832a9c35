// Owns what must be known of the places before an index is made anew of what lies on them, and before it takes the place of the
// old one.
import { type Rebuild } from "../ledger/next";
import { limits } from "../limits";
import { warn } from "../log";
import { Epochs, requireOneStore } from "../volumes/epochs";
import { type Volumes } from "../volumes/volumes";
import { forgetBegun } from "./job-memory";
import { idPrefix, requireNoStrangers, requireOwnPlaces } from "./places/ids";
import { notedIn, putBackPlaces } from "./places/put-back";
import { lastTopology } from "./places/topology";
import { watchPlaces } from "./places/watch";

/**
 * Makes sure that all places are there, and are those of this store; waits until nothing can land there any more.
 * @returns the names that places have now by those that they had, what unfinished work has left, and the places that are as
 *   they were earlier, both by the names of now
 * @throws MkvError failed, volume-failed, timeout
 */
export async function beforeRebuild(volumes: Volumes, rebuild: Rebuild) {
  const { old, suspect, memory } = rebuild;
  const renamed = await renamedSince(volumes, rebuild);
  const currentName = (volume: string) => renamed.get(volume) ?? volume;
  if (!old) await tellForgotten(volumes, rebuild, currentName);
  const owed = await rebuild.owedBy(currentName);
  await new Epochs(volumes, notedIn(memory), renamed).look();
  const putBack = new Set([...(await putBackPlaces(memory, "earlier"))].map(currentName));
  if (suspect) await Bun.sleep(limits.fenceOverMs); // What no journal knows of may still be on its way to volumes.
  return { renamed, owed, putBack };
}

/** Puts the new index in its place. Throws MkvError failed: a place is not what it was when the rebuild began. */
export async function endRebuild(volumes: Volumes, { memory, swap }: Rebuild): Promise<void> {
  await requireOwnPlaces(volumes, memory); // What was not there any more has been listed as empty.
  await forgetBegun(memory);
  await swap();
}

/**
 * Places by the names that they had, if it is remembered who they were.
 * @throws MkvError failed: a disk is not the one it was, and what it lacks would be lost; two names are one place; one is of
 *   another store
 */
async function renamedSince(volumes: Volumes, { memory }: Rebuild): Promise<ReadonlyMap<string, string>> {
  if ((await memory.page(idPrefix, { atMost: 1 })).length === 0) {
    await requireOneStore(volumes);
    return new Map();
  }
  const renamed = await requireOwnPlaces(volumes, memory);
  await watchPlaces(volumes, memory);
  await requireNoStrangers(volumes, memory);
  return renamed;
}

/** Says which volumes the last master had that are not named: without an old index nothing else tells of what lies there. */
async function tellForgotten(
  { topology }: Volumes,
  { memory }: Rebuild,
  currentName: (volume: string) => string,
): Promise<void> {
  const { volumes = [] } = (await lastTopology(memory)) ?? {};
  const forgotten = volumes.filter((volume) => !topology.volumes.includes(currentName(volume)));
  if (forgotten.length === 0) return;
  const names = forgotten.join(", ");
  warn(`-volumes does not name ${names}, which the store had: if there are values on it, stop this, and name it`);
}
