// Owns an address that swallows whoever connects: a host that is off, behind a network that says nothing of it.
import { connect, type Socket } from "node:net";
import { freePort } from "./ports";
import { RunningProcess } from "./process";
import { until } from "./until";

const listener = `
  const server = require("node:net").createServer().listen({ port: Number(process.argv[1]), host: "::" });
  server.on("listening", () => console.log("listening"));
`;

/** Takes the place of whoever listened on this port, or any: connections to it are not even refused. */
export async function startBlackHole(port?: number): Promise<{ port: number } & AsyncDisposable> {
  const held = new AsyncDisposableStack();
  const own = port ?? (await freePort());
  const child = held.use(new RunningProcess({ command: [process.execPath, "-e", listener, String(own)] }));
  await child.says(/listening/);
  child.signal("SIGSTOP"); // From now on nobody takes a connection, and the kernel keeps some hundred.
  const sockets: Socket[] = [];
  held.defer(() => sockets.forEach((socket) => socket.destroy()));
  const isFull = async () => {
    const more = Array.from({ length: 64 }, () => connect(own, "127.0.0.1").on("error", () => {}));
    sockets.push(...more);
    const opened = more.map((socket) => new Promise((resolve) => socket.on("connect", resolve)));
    await Promise.race([Promise.all(opened), Bun.sleep(300)]);
    return more.some((socket) => socket.connecting);
  };
  await until(isFull, { what: "no more connections are kept" });
  return { port: own, [Symbol.asyncDispose]: () => held.disposeAsync() };
}
