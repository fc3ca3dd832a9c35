// Owns the question whether memory may have been lost since: which start of the machine this is, and which mount of a disk.
import { readFileSync, realpathSync } from "node:fs";
import { uptime } from "node:os";

/** An id of this start of the machine. */
export function bootId(): string {
  const id = read("/proc/sys/kernel/random/boot_id");
  return (id || Bun.spawnSync(["sysctl", "-n", "kern.bootsessionuuid"]).stdout.toString()).trim();
}

/** Milliseconds since the start of the machine: unlike the wall clock, never set. */
export function sinceBootMs(): number {
  return Number(read("/proc/uptime").split(" ", 1)[0]) * 1000 || uptime() * 1000;
}

/**
 * An id of the mount of the file system that holds this folder, empty where there is no telling. Of a whole file system
 * alone: a container gets the folders that it shares with the machine anew at each start, though no disk lost anything.
 */
export function mountId(folder: string): string {
  let found = { point: "", id: "" };
  const path = realpathSync(folder);
  for (const line of read("/proc/self/mountinfo").split("\n")) {
    const [id = "", , , root, point = ""] = line.split(" ");
    const type = / - (\S+)/.exec(line)?.[1];
    const holds = path === point || path.startsWith(point.endsWith("/") ? point : `${point}/`);
    if (!holds || point.length < found.point.length) continue;
    found = { point, id: root === "/" && type !== "overlay" && type !== "tmpfs" ? id : "" };
  }
  return found.id;
}

/** A file of the system; empty where there is none. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
