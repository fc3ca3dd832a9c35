// Owns what is said of volumes when their state changes. That one was replaced is said by `volumes/identity.ts`.
import { nowMs } from "../../clock";
import { limits } from "../../limits";
import { log, warn } from "../../log";
import { type VolumeReport } from "../../volumes/report";

type Said = {
  /** Since when it has been down; undefined if it is up. */
  downMs: number | undefined;
  /** Its disks that are full, and when one was seen so last. */
  readonly full: Set<string>;
  fullMs: number;
};

/** A look at all volumes, which tells of each change once. */
export function stateLog(): (reports: readonly VolumeReport[]) => void {
  const all = new Map<string, Said>();
  return (reports) => {
    for (const report of reports) {
      const said = all.get(report.name) ?? { downMs: undefined, full: new Set<string>(), fullMs: 0 };
      all.set(report.name, said);
      lookAtServer(report, said);
      lookAtDisks(report, said);
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

/** A disk is believed to be full for a while after it has refused a write: it is back when it has not refused for longer. */
function lookAtDisks({ name, disks }: VolumeReport, said: Said): void {
  const full = disks.filter((disk) => disk.state === "full").map((disk) => disk.name);
  if (full.length > 0) {
    said.fullMs = nowMs();
    if (full.every((disk) => said.full.has(disk))) return;
    for (const disk of full) said.full.add(disk);
    const which = [...said.full]
      .filter((disk) => disk !== "")
      .sort()
      .join(", ");
    warn(`${name} is full${which && ` (${which})`}: make room, or add volumes and run rebalance`);
  } else if (said.full.size > 0 && nowMs() - said.fullMs > limits.fullMs) {
    said.full.clear();
    log(`${name} is back: it is not full any more`);
  }
}
