// Owns `mkv status`: what a running master says of itself and its volumes, as a table, and whether all is well.
import { type Status } from "../api/admin/status";
import { MkvError } from "../errors";
import { askStatus } from "../jobs/master";
import { counted, print, printable } from "../log";

/**
 * Shows the status of a master, and what is wrong.
 * @param url of its admin port
 * @returns 0 if all is well, 1 if not
 * @throws MkvError failed if it does not answer
 */
export async function runStatus(url: string): Promise<number> {
  const status = readStatus(url, await askStatus(url));
  for (const line of linesOf(status)) print(printable(line));
  return status.problems.length === 0 ? 0 : 1;
}

/** The status that an answer is. Throws MkvError failed if it is none. */
function readStatus(url: string, told: unknown): Status {
  const status = (told ?? {}) as Partial<Status>;
  if (Array.isArray(status.volumes) && Array.isArray(status.problems)) return status as Status;
  throw new MkvError("failed", `what answers at ${url} is no admin port of mkv: is -admin right?`);
}

function linesOf(status: Status): string[] {
  const { version, volumes, replicas, ready, problems, toHeal, owed, connections, connectionsLimit, jobs } = status;
  const most = connectionsLimit === undefined ? "" : ` of ${connectionsLimit}`;
  const sums = [`${counted(toHeal, "key")} to heal`, `${counted(owed, "key")} owed`];
  if (connections !== undefined) sums.push(`${counted(connections, "connection")}${most}`);
  const under = jobs.map(({ name, keys, keysPerSecond }) => {
    const soFar = `${counted(keys, "key")} so far`;
    if (keysPerSecond === 0) return `${name}: ${soFar}, none of late`; // It may have ended.
    return `${name} is under way: ${soFar}, ${keysPerSecond.toFixed(keysPerSecond < 10 ? 1 : 0)} a second`;
  });
  const what = problems.length === 0 ? "all is well" : `${counted(problems.length, "problem")}:`;
  return [
    `mkv ${version}, ${counted(volumes.length, "volume")}, ${counted(replicas, "replica")}, since ${status.startedAt}`,
    "",
    ...table([["VOLUME", "STATE", "FREE", "DISKS"], ...volumes.map(rowOf)]),
    "",
    [ready ? "ready" : "not ready", ...sums].join(", "),
    ...under,
    "",
    what,
    ...problems.map((problem) => `  ${problem}`),
  ];
}

function rowOf({ name, state, settled, freeBytes, sizeBytes, disks }: Status["volumes"][number]): string[] {
  const isAlike = disks.every((disk) => disk.state === state);
  const bad = disks.filter((disk) => disk.state !== "up").map((disk) => `${disk.name} ${disk.state}`);
  const shown = state === "up" && !settled ? "up, not settled" : state;
  const free = freeBytes === undefined ? "" : `${inUnits(freeBytes)} of ${inUnits(sizeBytes ?? 0)}`;
  return [name, shown, free, isAlike ? String(disks.length) : `${disks.length}: ${bad.join(", ")}`];
}

/** Bytes as people read them: `1.2 TB`. */
function inUnits(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let [value, unit] = [bytes, 0];
  for (; value >= 1000 && unit < units.length - 1; unit++) value /= 1000;
  return `${value.toFixed(unit === 0 || value >= 100 ? 0 : 1)} ${units[unit]}`;
}

/** Rows whose columns stand below each other. */
function table(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]! + 2))
      .join("")
      .trimEnd(),
  );
}
