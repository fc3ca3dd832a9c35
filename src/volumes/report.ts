// Owns the state of volumes and disks as an operator sees it: one word for each, the worst that is so.
import { valuePlaces } from "../format/placement";
import { limits } from "../limits";
import { type Disks, type Room, type Space, diskNames } from "./disks";
import { type Health } from "./health";
import { type Volumes } from "./volumes";

/**
 * `down`: it does not answer. `foreign`: it is not the disk it was, and not written to. `read-only`: it is mounted so. `full`: it
 * has no room, or has refused a write. A volume is what the worst of its disks is.
 */
export type PlaceState = "down" | "foreign" | "read-only" | "full" | "up";

/** A disk; its name is `sv03`, or empty where the volume has none. */
export type DiskReport = Room & { readonly name: string; readonly state: PlaceState };

export type VolumeReport = {
  readonly name: string;
  readonly state: PlaceState;
  /** Whether new values may go there: see `Health.isSettled`. */
  readonly isSettled: boolean;
  readonly disks: readonly DiskReport[];
};

/** The states from the worst to the best. */
const states: readonly PlaceState[] = ["down", "foreign", "read-only", "full", "up"];

/** All volumes, in the order of `-volumes`; with the room on their disks, if these were asked. */
export function reportOf(volumes: Volumes, disks?: Disks): VolumeReport[] {
  const { topology } = volumes;
  const { health } = volumes.client;
  const names = diskNames(topology);
  return topology.volumes.map((volume) => {
    const all = names.map((name): DiskReport => {
      const room = disks?.of(volume, name) ?? {};
      return { name, state: stateOf(health, placeOf(volume, name), room.space), ...room };
    });
    const state = states.find((each) => all.some((disk) => disk.state === each))!;
    return { name: volume, state, isSettled: health.isSettled(volume), disks: all };
  });
}

/** The name of a disk of a report, as health and ids have it. */
export function placeOf(volume: string, disk: string): string {
  return disk === "" ? volume : `${volume}/${disk}`;
}

function stateOf(health: Health, place: string, space: Space | undefined): PlaceState {
  if (!health.isUp(place)) return "down";
  if (health.isForeign(place)) return "foreign";
  if (space?.isReadOnly) return "read-only";
  return health.isFull(place) || (space && hasNoRoom(space)) ? "full" : "up";
}

/** Volumes and disks that may have values of an earlier time; the volume alone for all of its disks. */
export function putBackIn({ topology, health }: Volumes): string[] {
  return topology.volumes.flatMap((volume) => {
    const places = valuePlaces(topology, volume);
    const found = places.filter((place) => health.isPutBack(place));
    return found.length === places.length ? [volume] : found;
  });
}

/** Whether a disk says that it has no room; one that has some may refuse writes for another reason. */
export function hasNoRoom({ bytesFree, filesTotal, filesFree }: Space): boolean {
  return bytesFree < limits.noRoomBytes || (filesTotal > 0 && filesFree === 0);
}
