// Owns what is said of places that are not used, or not as others, after their names: each tells what to do.
import { MkvError } from "../errors";
import { type Health } from "./health";

/** Of one that is not the disk it was. */
export function foreignWarning(name: string, why?: "no id" | "another id"): string {
  const because = why === undefined ? "" : ` (${why})`;
  return `is not the disk it was${because}: if it was replaced, run "mkv adopt ${name}"; if it is not mounted, mount it`;
}

/** Throws MkvError unavailable if the volume's disk is not the one it was, or new and maybe another store's. */
export function refuseForeign(health: Pick<Health, "isForeign">, volume: string): void {
  if (!health.isForeign(volume)) return;
  const text =
    "is not used: it is not the disk it was, or is new and has files, maybe of another store (the log says which)";
  throw new MkvError("unavailable", `${volume} ${text}: if it was replaced, run "mkv adopt ${volume}"`);
}

/** Of one that has the id of another place of the store, and had one of its own. */
export function sameIdWarning(name: string, other: string): string {
  const copy = `if it is a copy, remove each mkv/id in it, then run "mkv adopt ${name}"`;
  return `is not the disk it was (it has the id of ${other}): if the two were exchanged, put each back; ${copy}`;
}

/** Of some that say that their store has come less far than they had noted, or had files before they were the store's. */
export function putBackWarning(places: readonly string[]): string {
  return (
    `${places.join(", ")} may have values of an earlier time (put back from a backup, adopted with files, taken out with ` +
    'them once, or writes were lost with the power): run "mkv verify -md5 -repair", an hour later with -orphans; ' +
    "until all is well other copies are read first"
  );
}

/** Of one that is new to the store, and may have values of another one. */
export function strangerWarning(name: string): string {
  const advice = `if it belongs to this store, run "mkv adopt ${name}", else leave it out of -volumes`;
  return `is new, and has files, maybe of another store: ${advice}`;
}
