// Owns the choice of ports: the kernel picks, for programs that cannot be told to listen on port 0.
import { createServer, type AddressInfo } from "node:net";

const handedOut = new Set<number>();

/** A port nobody listens on now; never the same one twice in this process. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = await new Promise<number>((resolve, reject) => {
      const server = createServer();
      server.once("error", reject);
      server.listen(0, () => {
        const { port } = server.address() as AddressInfo;
        server.close(() => resolve(port));
      });
    });
    if (handedOut.has(port)) continue;
    handedOut.add(port);
    return port;
  }
}
