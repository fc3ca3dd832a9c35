// Owns a stand-in for a volume server that misbehaves as nginx cannot be made to.
import { createServer, type AddressInfo, type Socket } from "node:net";
import { freePort } from "./ports";

/** What happens to one request, once `afterBytes` of its body have come (all of the body where nothing is said). */
export type Behaviour =
  | { does: "answer"; status: number; headers?: Record<string, string>; body?: string; afterBytes?: number }
  | { does: "stall"; afterBytes?: number } // Reads no further and never answers.
  | { does: "cut"; afterBytes?: number }; // Closes the connection.

export interface SeenRequest {
  method: string;
  path: string;
  headers: Headers;
  bodyBytes: number;
}

export interface FaultyVolume extends AsyncDisposable {
  address: string;
  port: number;
  /** Every request so far, in the order of their arrival; without those for ids, by which a master knows its volumes. */
  seen: SeenRequest[];
  /** Those. */
  idsSeen: SeenRequest[];
}

/** A volume server that treats each request as the script says. */
export async function startFaultyVolume(script: (request: SeenRequest) => Behaviour): Promise<FaultyVolume> {
  const [seen, idsSeen]: [SeenRequest[], SeenRequest[]] = [[], []];
  const note = (request: SeenRequest) => void (isForId(request) ? idsSeen : seen).push(request);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket)).on("error", () => {});
    new Conversation(socket, script, note);
  });
  // On all addresses: `localhost` is also ::1, where another test may have the same port.
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as AddressInfo;
  return {
    address: `localhost:${port}`,
    port,
    seen,
    idsSeen,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      sockets.forEach((socket) => socket.destroy());
      await closed;
    },
  };
}

/** Whether a volume or a disk of it is asked who it is, or how far the store has come, or told. */
function isForId({ path }: SeenRequest): boolean {
  return path.endsWith("/mkv/id") || path.endsWith("/mkv/epoch");
}

/** The address of a volume that refuses connections. */
export async function deadVolume(): Promise<string> {
  return `localhost:${await freePort()}`;
}

/** One connection: requests come one after the other. */
class Conversation {
  private pending = Buffer.alloc(0);
  private request: SeenRequest | undefined;
  private behaviour!: Behaviour;
  private bodyLeft = 0; // Bytes until the end of the body or, if it is chunked, of the chunk.
  private chunked = false;
  private bodyComplete = false;

  constructor(
    private readonly socket: Socket,
    private readonly script: (request: SeenRequest) => Behaviour,
    private readonly note: (request: SeenRequest) => void,
  ) {
    socket.on("data", (data: Buffer) => {
      this.pending = Buffer.concat([this.pending, data]);
      while (this.step());
    });
  }

  /** True while there is more to do with what has come. */
  private step(): boolean {
    if (!this.request) return this.readHead();
    const before = this.pending.length;
    this.readBody(this.request);
    const due = this.bodyComplete || this.request.bodyBytes >= (this.behaviour.afterBytes ?? Infinity);
    if (due) return this.act();
    return this.pending.length < before;
  }

  private readHead(): boolean {
    const end = this.pending.indexOf("\r\n\r\n");
    if (end < 0) return false;
    const [first = "", ...lines] = this.pending.subarray(0, end).toString("latin1").split("\r\n");
    this.pending = this.pending.subarray(end + 4);
    const [method = "", path = ""] = first.split(" ");
    const headers = new Headers(lines.map((line) => line.split(/:\s*(.*)/s).slice(0, 2) as [string, string]));
    this.request = { method, path, headers, bodyBytes: 0 };
    this.note(this.request);
    const isNote = method === "PUT" && path.endsWith("/mkv/epoch"); // It would tell how the script takes a value.
    this.behaviour = isNote ? { does: "answer", status: 204 } : this.script(this.request);
    this.chunked = /chunked/i.test(headers.get("transfer-encoding") ?? "");
    this.bodyLeft = Number(headers.get("content-length") ?? 0);
    this.bodyComplete = !this.chunked && this.bodyLeft === 0;
    return true;
  }

  private readBody(request: SeenRequest): void {
    while (this.pending.length > 0 && !this.bodyComplete) {
      if (this.bodyLeft === 0 && !this.readChunkHead()) return;
      const taken = Math.min(this.bodyLeft, this.pending.length);
      this.pending = this.pending.subarray(taken);
      this.bodyLeft -= taken;
      request.bodyBytes += taken;
      if (!this.chunked && this.bodyLeft === 0) this.bodyComplete = true;
    }
  }

  /** False if the line with the size has not come yet. */
  private readChunkHead(): boolean {
    const match = this.pending.toString("latin1", 0, 20).match(/^(?:\r\n)?([0-9a-fA-F]+)\r\n/);
    if (!match) return false;
    this.pending = this.pending.subarray(match[0].length);
    this.bodyLeft = parseInt(match[1]!, 16);
    if (this.bodyLeft === 0) this.bodyComplete = true;
    return true;
  }

  private act(): boolean {
    const { behaviour } = this;
    if (behaviour.does === "stall") this.socket.pause();
    else if (behaviour.does === "cut") this.socket.destroy();
    else {
      const { status, headers = {}, body = "" } = behaviour;
      const fields = {
        "Content-Length": String(Buffer.byteLength(body)),
        "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
        ...headers,
      };
      const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
      const content = this.request?.method === "HEAD" ? "" : body;
      this.socket.write(`HTTP/1.1 ${status} Scripted\r\n${lines.join("")}\r\n${content}`);
      if (!this.bodyComplete) this.socket.end();
    }
    const over = behaviour.does !== "answer" || !this.bodyComplete;
    if (over) {
      this.pending = Buffer.alloc(0);
      this.socket.removeAllListeners("data");
      if (behaviour.does === "answer") this.socket.resume(); // Drains what still comes, as nginx lingers.
      return false;
    }
    this.request = undefined;
    if (this.pending.subarray(0, 2).toString() === "\r\n") this.pending = this.pending.subarray(2);
    return this.pending.length > 0;
  }
}
