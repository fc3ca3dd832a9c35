// Owns the HTTP client of the bench: one connection, one request at a time, as little work as can be.

/** An answer. `location` is that of a redirect. */
export type Answer = { readonly status: number; readonly location: string | undefined; readonly body: Buffer };

const nothing = Buffer.alloc(0);

/** A connection that is kept alive. */
export class Wire implements Disposable {
  #socket!: Bun.Socket<undefined>;
  #unsent: Buffer = nothing;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  #wantedBytes = 0;
  #toHead = false;
  #waiting: PromiseWithResolvers<Answer> | undefined;

  /** Connects to a port of this machine. */
  static async to(port: number): Promise<Wire> {
    const wire = new Wire();
    const broken = (error: unknown) => wire.#waiting?.reject(error);
    wire.#socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_, chunk) => wire.#receive(chunk),
        drain: () => wire.#flush(),
        error: (_, error) => broken(error),
        close: () => broken(new Error(`port ${port} closed the connection`)),
      },
    });
    return wire;
  }

  /** Sends a request and waits for its answer. `path` goes onto the wire as it is. */
  ask(method: string, path: string, body?: Buffer): Promise<Answer> {
    const length = body ? `Content-Length: ${body.length}\r\n` : "";
    const head = Buffer.from(`${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${length}\r\n`, "latin1");
    this.#waiting = Promise.withResolvers<Answer>();
    this.#toHead = method === "HEAD";
    this.#unsent = body ? Buffer.concat([head, body]) : head;
    this.#flush();
    return this.#waiting.promise;
  }

  [Symbol.dispose](): void {
    this.#waiting = undefined;
    this.#socket.end();
  }

  #flush(): void {
    if (this.#unsent.length > 0) this.#unsent = this.#unsent.subarray(this.#socket.write(this.#unsent));
  }

  #receive(chunk: Buffer): void {
    this.#received.push(Buffer.from(chunk)); // The socket may use its buffer again.
    this.#receivedBytes += chunk.length;
    if (this.#receivedBytes < this.#wantedBytes) return;
    const bytes = this.#received.length === 1 ? this.#received[0]! : Buffer.concat(this.#received);
    const parsed = parse(bytes, this.#toHead);
    if (typeof parsed === "number") {
      this.#received = [bytes];
      this.#wantedBytes = parsed;
      return;
    }
    this.#received = [];
    this.#receivedBytes = this.#wantedBytes = 0;
    const { resolve } = this.#waiting!;
    this.#waiting = undefined;
    resolve(parsed);
  }
}

/** Whether something answers requests on this port of this machine. */
export async function answers(port: number): Promise<boolean> {
  try {
    using wire = await Wire.to(port);
    return (await wire.ask("GET", "/is-anybody-there")).status > 0;
  } catch {
    return false; // Not yet.
  }
}

/** The answer in these bytes, or, while it is not whole, how many bytes to wait for. */
function parse(bytes: Buffer, toHead: boolean): Answer | number {
  const headBytes = bytes.indexOf("\r\n\r\n") + 4;
  if (headBytes < 4) return bytes.length + 1;
  const head = bytes.toString("latin1", 0, headBytes);
  const status = Number(head.slice(9, 12));
  const location = status === 302 ? /\r\nlocation: *([^\r]*)/i.exec(head)?.[1] : undefined;
  if (toHead || status === 204) return { status, location, body: nothing };
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
  if (length === undefined) return unchunked(bytes, headBytes, { status, location });
  const wanted = headBytes + Number(length);
  return bytes.length < wanted ? wanted : { status, location, body: bytes.subarray(headBytes, wanted) };
}

function unchunked(bytes: Buffer, start: number, answer: Omit<Answer, "body">): Answer | number {
  const parts: Buffer[] = [];
  for (let at = start; ;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd < 0) return bytes.length + 1;
    const length = Number.parseInt(bytes.toString("latin1", at, lineEnd), 16);
    const next = lineEnd + 2 + length + 2;
    if (bytes.length < next) return next;
    if (length === 0) return { ...answer, body: Buffer.concat(parts) };
    parts.push(bytes.subarray(lineEnd + 2, next - 2));
    at = next;
  }
}
