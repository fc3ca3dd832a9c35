// Owns the metrics that nobody counts, since they can be looked at: volumes, disks, the process, and its connections, which the
// system counts and Bun does not.
import { readFile } from "node:fs/promises";
import { type Ledger } from "../../ledger/ledger";
import { type Measured } from "../../metrics";
import { mostOpenFiles, openFiles } from "../../open-files";
import { type DiskReport, type VolumeReport } from "../../volumes/report";

/** When this process began, in seconds since the epoch. */
export const startedSeconds = Date.now() / 1000 - process.uptime();

/** A gauge with a number for each row of labels; a row without a number is left out. */
function measured(
  [name, help, ...labels]: [name: string, help: string, ...labels: string[]],
  rows: readonly (readonly [number | undefined, ...string[]])[],
  type: "gauge" | "counter" = "gauge",
): Measured {
  const series = rows.flatMap(([number, ...values]) => (number === undefined ? [] : [{ values, numbers: [number] }]));
  return { name, help, type, labels, bounds: [], series };
}

const one = (isSo: boolean) => (isSo ? 1 : 0);

export function volumeMetrics(reports: readonly VolumeReport[]): Measured[] {
  const ofVolumes = (name: string, help: string, number: (report: VolumeReport) => number | undefined) => {
    const rows = reports.map((report) => [number(report), report.name] as const);
    return measured([name, help, "volume"], rows);
  };
  const ofDisks = (name: string, help: string, number: (disk: DiskReport) => number | undefined) => {
    const rows = reports.flatMap(({ name, disks }) => disks.map((disk) => [number(disk), name, disk.name] as const));
    return measured([name, help, "volume", "disk"], rows);
  };
  const all = [
    ofVolumes("mkv_volume_up", "Whether the volume answers.", ({ state }) => one(state !== "down")),
    ofVolumes("mkv_volume_settled", "Whether new values may go to the volume.", ({ isSettled }) => one(isSettled)),
    ofDisks("mkv_volume_full", "Whether a disk has no room, refused a write, or is mounted read-only.", ({ state }) =>
      one(state === "full" || state === "read-only"),
    ),
    ofDisks("mkv_volume_foreign", "Whether a disk is not the one it was.", ({ state }) => one(state === "foreign")),
    ofDisks("mkv_disk_free_bytes", "Bytes free on the disk; folders of one disk share them.", bytesFree),
    ofDisks("mkv_disk_size_bytes", "Bytes that the disk has.", ({ space }) => space?.bytesTotal),
    ofDisks("mkv_disk_free_files", "Files that the disk has room for.", ({ space }) =>
      space && space.filesTotal > 0 ? space.filesFree : undefined,
    ),
    ofVolumes("mkv_volume_free_bytes", "Bytes free on all disks of the volume, each counted once.", (report) =>
      roomOf(report, bytesFree),
    ),
    ofVolumes("mkv_volume_size_bytes", "Bytes that all disks of the volume have, each counted once.", (report) =>
      roomOf(report, ({ space }) => space?.bytesTotal),
    ),
  ];
  return all.filter(({ series }) => series.length > 0); // Volumes of plain nginx say nothing of their disks.
}

export const bytesFree = ({ space }: DiskReport) => space?.bytesFree;

/** A sum over the disks of a volume, each device counted once; undefined if none is known. */
export function roomOf({ disks }: VolumeReport, number: (disk: DiskReport) => number | undefined): number | undefined {
  const devices = new Map<number, number>();
  for (const disk of disks) {
    const room = number(disk);
    if (disk.space && room !== undefined) devices.set(disk.space.device, room);
  }
  return devices.size === 0 ? undefined : [...devices.values()].reduce((sum, room) => sum + room, 0);
}

/** The connections to the master, where the system counts them, and how many it lets in. */
export function connectionMetrics(connections: number | undefined, most: number): Measured[] {
  const limit = Number.isFinite(most) ? most : undefined;
  return [
    single("mkv_connections", "Connections of clients to the master.", connections),
    single("mkv_connections_limit", "Connections above which clients are refused, about.", limit),
  ];
}

function single(name: string, help: string, number: number | undefined): Measured {
  return measured([name, help], [[number]]);
}

/** What all threads of the process have had of the processors. */
export function cpuSeconds(): Measured {
  const { user, system } = process.cpuUsage();
  return measured(["process_cpu_seconds_total", "CPU time of all threads."], [[(user + system) / 1e6]], "counter");
}

/** Whether anything that was acknowledged may be unknown to the index. */
export function indexMetric(age: Ledger["age"]): Measured {
  const help = "Whether the index may lack keys: it is older than the volumes, or incomplete. A rebuild ends that.";
  return single("mkv_index_doubtful", help, one(age !== "current"));
}

export function processMetrics(version: string): Measured[] {
  return [
    cpuSeconds(),
    measured(["mkv_build_info", "1, with the version of mkv.", "version"], [[1, version]]),
    single("process_resident_memory_bytes", "Memory in use.", process.memoryUsage.rss()),
    single("process_open_fds", "Open files, connections among them.", openFiles()),
    single("process_max_fds", "Files that may be open.", mostOpenFiles),
    single("process_start_time_seconds", "When the process began, since the epoch.", startedSeconds),
  ];
}

const established = "01";

/** How many clients are connected to these ports; undefined where the system does not say. Takes about 1 µs for each of all. */
export async function countConnections(ports: readonly number[]): Promise<number | undefined> {
  const read = (table: string) => readFile(`/proc/self/net/${table}`, "latin1").catch(() => undefined);
  const [tcp, tcp6 = ""] = await Promise.all(["tcp", "tcp6"].map(read)); // There are Linuxes without IPv6.
  const local = ports.map((port) => `:${port.toString(16).toUpperCase().padStart(4, "0")}`);
  const isCounted = (line: string) => {
    const [, address, , state] = line.trim().split(/ +/, 4);
    return state === established && local.includes(address!.slice(-5));
  };
  return tcp === undefined ? undefined : [tcp, tcp6].flatMap((table) => table.split("\n").filter(isCounted)).length;
}
