// Owns the choice of ports: the kernel picks, for programs that cannot be told to listen on port 0. A port belongs to its
// process until that ends: held by the UDP socket of the same number, so that no other test picks it before it is used.
import { createServer, type AddressInfo } from "node:net";

/** A port nobody listens on now, and that no other test is given. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = await pickPort();
    try {
      const held = await Bun.udpSocket({ hostname: "127.0.0.1", port });
      held.unref();
      return port;
    } catch {
      // Another test has it: the kernel picks again.
    }
  }
}

/** Whether another test has this port, for a program that does not run at the moment. */
export async function isReserved(port: number): Promise<boolean> {
  try {
    (await Bun.udpSocket({ hostname: "127.0.0.1", port })).close();
    return false;
  } catch {
    return true;
  }
}

function pickPort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
