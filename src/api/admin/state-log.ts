// Owns what is said of volumes when their state changes. That one was replaced is said by `volumes/identity.ts`.
import { nowMs } from "../../clock";
import { limits } from "../../limits";
import { log, warn } from "../../log";
import { type DiskReport, type VolumeReport, hasNoRoom } from "../../volumes/report";

type Said = {
  /** Since when it has been down; undefined if it is up. */
  downMs: number | undefined;
  readonly refusing: Readonly<Record<Refusing, SaidOfDisks>>;
};

/** The states of disks that take no writes. */
type Refusing = "full" | "read-only";

/** Disks that are in a state, and when one was seen so last. */
type SaidOfDisks = { readonly names: Set<string>; seenMs: number };

const none = (): SaidOfDisks => ({ names: new Set(), seenMs: 0 });

/** A look at all volumes, which tells of each change once. */
export function stateLog(): (reports: readonly VolumeReport[]) => void {
  const all = new Map<string, Said>();
  return (reports) => {
    for (const report of reports) {
      const said = all.get(report.name) ?? { downMs: undefined, refusing: { full: none(), "read-only": none() } };
      all.set(report.name, said);
      lookAtServer(report, said);
      lookAtDisks(report, "full", said.refusing.full);
      lookAtDisks(report, "read-only", said.refusing["read-only"]);
    }
  };
}

function lookAtServer({ name, state }: VolumeReport, said: Said): void {
  if (state === "down" && said.downMs === undefined) {
    said.downMs = nowMs();
    warn(`${name} is down: reads go to other copies, writes to other volumes`);
  } else if (state !== "down" && said.downMs !== undefined) {
    log(`${name} is back, after ${Math.max(1, Math.round((nowMs() - said.downMs) / 1000))} s`);
    said.downMs = undefined;
  }
}

/** A disk counts as full for a while after it has refused a write: it is back when it was not seen so for longer. */
function lookAtDisks({ name, disks }: VolumeReport, state: Refusing, said: SaidOfDisks): void {
  const found = disks.filter((disk) => disk.state === state);
  if (found.length > 0) {
    said.seenMs = nowMs();
    if (found.every((disk) => said.names.has(disk.name))) return;
    for (const disk of found) said.names.add(disk.name);
    const named = [...said.names].filter((disk) => disk !== "").sort();
    const which = named.length === 0 ? "" : ` (${named.join(", ")})`;
    warn(`${name} ${state === "full" ? whyFull(found) : "is read-only"}${which}: ${advice[state]}`);
  } else if (said.names.size > 0 && nowMs() - said.seenMs > limits.fullMs) {
    said.names.clear();
    log(`${name} is back: it is not ${state} any more`);
  }
}

/** A disk that does not say what room it has may have refused a write for another reason. */
function whyFull(full: readonly DiskReport[]): string {
  const isSure = full.every(({ space }) => space && hasNoRoom(space));
  return isSure ? "is full" : "is full or cannot be written to";
}

const advice: Record<Refusing, string> = {
  full: "make room, or add volumes and run rebalance; if there is room, the log of nginx there says why",
  "read-only": "remount it (mount -o remount,rw), or replace the disk if dmesg there says that it fails",
};
