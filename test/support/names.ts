// Owns names that move: processes that read a hosts file of their own, mounted over the machine's for them alone.
import { spawnSync } from "node:child_process";
import { copyFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { join } from "node:path";

const mounted = 'mount --bind "$0" /etc/hosts && exec "$@"';

/** Whether this user may give a process a hosts file of its own. */
export const canMoveNames = spawnSync("unshare", ["-m", "bash", "-c", mounted, "/etc/hosts", "true"]).status === 0;

/** A hosts file for processes that are started through it. */
export class Names {
  readonly #file: string;

  constructor(folder: string) {
    this.#file = join(folder, "hosts");
    copyFileSync("/etc/hosts", this.#file);
  }

  /** From now on the name stands for this address; what stood there before does not count any more. */
  set(name: string, address: string): void {
    writeFileSync(this.#file, `127.0.0.1 localhost\n${address} ${name}\n`); // In place: the mount is of this very file.
  }

  /** From now on the name is not known here. */
  forget(): void {
    writeFileSync(this.#file, "127.0.0.1 localhost\n");
  }

  /** The command, run where the names are these. */
  command(words: string[]): string[] {
    return ["unshare", "-m", "bash", "-c", mounted, this.#file, ...words];
  }
}

/** One address of a server: passes on to a port of this machine what comes to it, until it is frozen. */
export class Doorway implements AsyncDisposable {
  /** Connections that have come since the start. */
  connections = 0;
  #isFrozen = false;
  readonly #sockets = new Set<Socket>();

  private constructor(
    readonly server: Server,
    behind: () => number,
  ) {
    server.on("connection", (client: Socket) => {
      this.connections++;
      this.#sockets.add(client);
      client.on("error", () => client.destroy()).on("close", () => this.#sockets.delete(client));
      if (this.#isFrozen) return;
      const volume = connect({ port: behind(), host: "127.0.0.1" });
      volume.on("error", () => client.destroy());
      client.on("close", () => volume.destroy());
      volume.pipe(client).pipe(volume);
      client.once("frozen", () => client.unpipe(volume).resume());
    });
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** From now on it takes everything and says nothing. */
  freeze(): void {
    this.#isFrozen = true;
    for (const socket of this.#sockets) socket.emit("frozen");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  static async start(address: string, port: number, behind: () => number): Promise<Doorway> {
    const server = createServer();
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(port, address, () => resolve()));
    return new Doorway(server, behind);
  }
}
