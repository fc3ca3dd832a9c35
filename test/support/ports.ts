// Owns the choice of ports, for programs that cannot be told to listen on port 0. A port belongs to its process until that
// ends: held by the UDP socket of the same number, so that no other test picks it before it is used. It lies below those from
// which Linux takes the ports of outgoing connections, and those of who listens on port 0: any of them could take the port of
// a volume that is stopped.
import { createServer } from "node:net";

const FIRST = 10_000;
const END = 32_768; // See ip_local_port_range.

/** A port nobody listens on now, and that no other test is given. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (END - FIRST));
    if (!(await isFree(port))) continue;
    try {
      const held = await Bun.udpSocket({ hostname: "127.0.0.1", port });
      held.unref();
      return port;
    } catch {
      // Another test has it.
    }
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });
}
