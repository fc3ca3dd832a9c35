// Owns the number of connections to ports of this machine, as the system counts them: Bun does not.
import { readFile } from "node:fs/promises";

const established = "01";

/** How many clients are connected to these ports; undefined where the system does not say. Takes about 1 µs for each of all. */
export async function countConnections(ports: readonly number[]): Promise<number | undefined> {
  const local = ports.map((port) => `:${port.toString(16).toUpperCase().padStart(4, "0")}`);
  let count = 0;
  try {
    for (const table of await Promise.all(["tcp", "tcp6"].map(read))) {
      for (const line of table.split("\n")) {
        const [, address, , state] = line.trim().split(/ +/, 4);
        if (state === established && local.includes(address!.slice(-5))) count++;
      }
    }
    return count;
  } catch {
    return undefined;
  }
}

async function read(table: string): Promise<string> {
  return await readFile(`/proc/self/net/${table}`, "latin1").catch((error) => {
    if (table === "tcp6") return ""; // A Linux without IPv6.
    throw error;
  });
}
