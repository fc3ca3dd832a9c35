// Owns the HTTP client of the tests: what it is told goes onto the wire byte for byte, nothing is normalized, retried,
// followed or pooled.
import { connect, type Socket } from "node:net";

const TIMEOUT_MS = 20_000;

export interface Ask {
  method?: string;
  /** Path and query as they go into the request line, one byte a character. */
  target: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  /** Sends the body chunked, in chunks of this many bytes. */
  chunkBytes?: number | undefined;
  timeoutMs?: number | undefined;
}

export interface Answer {
  status: number;
  headers: Headers;
  body: Buffer;
  text: string;
  /** A `100 Continue` came first. */
  continued: boolean;
}

/** One request on a connection of its own. */
export async function request(port: number, ask: Ask): Promise<Answer> {
  using wire = await dial(port);
  wire.write(head(ask, { close: true }));
  if (ask.body !== undefined) wire.write(framed(ask));
  return await wire.answer({ toHead: ask.method === "HEAD", timeoutMs: ask.timeoutMs });
}

/** Like `request`, with these bytes as the whole request: for what is no proper HTTP. */
export async function raw(port: number, bytes: string | Uint8Array, timeoutMs?: number): Promise<Answer> {
  using wire = await dial(port);
  wire.write(bytes);
  return await wire.answer({ timeoutMs });
}

/** Where a redirect leads, with the credentials that it carries. */
export function target(location: string): { port: number; path: string; login: string | undefined } {
  const match = location.match(/^http:\/\/(?:([^@/]*)@)?localhost:(\d+)(\/.*)$/);
  if (!match) throw new Error(`not a location on a volume: ${location}`);
  return { login: match[1], port: Number(match[2]), path: match[3]! };
}

/** The answer of the volume that a redirect leads to. */
export async function follow(answer: Answer, rest: Omit<Ask, "target"> = {}): Promise<Answer> {
  const { port, path, login } = target(answer.headers.get("location") ?? "");
  const headers = { ...rest.headers };
  if (login) headers.Authorization = `Basic ${Buffer.from(decodeURIComponent(login)).toString("base64")}`;
  return await request(port, { ...rest, headers, target: path });
}

/** The lines of a request up to its body. */
export function head(
  { method = "GET", target, headers = {}, body, chunkBytes }: Ask,
  { close }: { close: boolean },
): Buffer {
  const lines = [`${method} ${target} HTTP/1.1`, "Host: localhost"];
  if (close) lines.push("Connection: close");
  if (chunkBytes) lines.push("Transfer-Encoding: chunked");
  else if (body !== undefined) lines.push(`Content-Length: ${Buffer.byteLength(body as string)}`);
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

function framed({ body = "", chunkBytes }: Ask): Buffer {
  const bytes = Buffer.from(body as string);
  if (!chunkBytes) return bytes;
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) parts.push(chunk(bytes.subarray(at, at + chunkBytes)));
  return Buffer.concat([...parts, Buffer.from("0\r\n\r\n")]);
}

/** One chunk of a chunked body. */
export function chunk(bytes: string | Uint8Array): Buffer {
  const data = Buffer.from(bytes as string);
  return Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from("\r\n")]);
}

/** An open connection, for tests that dose the bytes. */
export class Wire implements Disposable {
  closed = false;
  /** What has come and was not taken yet, with room for more: a long answer comes in hundreds of pieces. */
  private store = Buffer.alloc(0);
  private length = 0;
  private wake: () => void = () => {};

  constructor(private readonly socket: Socket) {
    socket.on("data", (data: Buffer) => {
      this.append(data);
      this.wake();
    });
    const end = () => {
      this.closed = true;
      this.wake();
    };
    socket.on("end", end).on("close", end).on("error", end);
  }

  /** True when the kernel took it all; else wait for `drained`. */
  write(data: string | Uint8Array): boolean {
    return this.closed || this.socket.write(data);
  }

  /** Closes its side, as a client does that has nothing more to say. */
  end(): void {
    this.socket.end();
  }

  private get received(): Buffer {
    return this.store.subarray(0, this.length);
  }

  private append(data: Buffer): void {
    if (this.length + data.length > this.store.length) {
      const wider = Buffer.allocUnsafe(2 * (this.length + data.length));
      this.received.copy(wider);
      this.store = wider;
    }
    data.copy(this.store, this.length);
    this.length += data.length;
  }

  /** From now on nothing is read from the kernel. */
  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    this.socket.resume();
  }

  async drained(): Promise<void> {
    if (this.socket.writableLength === 0 || this.closed) return;
    await new Promise<void>((resolve) => this.socket.once("drain", resolve).once("close", () => resolve()));
  }

  /** The next answer on this connection; throws when it is not complete in time. */
  async answer({
    toHead = false,
    timeoutMs = TIMEOUT_MS,
  }: { toHead?: boolean; timeoutMs?: number | undefined } = {}): Promise<Answer> {
    let continued = false;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.wake();
    }, timeoutMs);
    try {
      for (;;) {
        const parsed = parse(this.received, { toHead, ended: this.closed });
        if (parsed) {
          this.store = this.store.subarray(parsed.length);
          this.length -= parsed.length;
          if (parsed.answer.status !== 100) return { ...parsed.answer, continued };
          continued = true;
          continue;
        }
        if (late || this.closed) {
          const why = late
            ? `no complete answer within ${timeoutMs} ms`
            : "connection closed without a complete answer";
          throw new Error(`${why}: got ${JSON.stringify(this.received.subarray(0, 300).toString("latin1"))}`);
        }
        await new Promise<void>((resolve) => (this.wake = resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Goes away at once, as a client does that crashes. */
  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

/** Connects to a port of this machine. */
export async function dial(port: number): Promise<Wire> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return new Wire(socket);
}

function parse(
  bytes: Buffer,
  { toHead, ended }: { toHead: boolean; ended: boolean },
): { answer: Answer; length: number } | undefined {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd < 0) return undefined;
  const [statusLine = "", ...lines] = bytes.subarray(0, headEnd).toString("latin1").split("\r\n");
  const status = Number(statusLine.match(/^HTTP\/1\.[01] (\d{3})/)?.[1]);
  if (!status) throw new Error(`not a status line: ${statusLine}`);
  const headers = new Headers();
  for (const line of lines) headers.append(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1));
  const start = headEnd + 4;
  const found =
    toHead || status === 100 || status === 204 || status === 304
      ? { body: Buffer.alloc(0), end: start }
      : bodyOf(bytes, { start, headers, ended });
  if (!found) return undefined;
  const answer = { status, headers, body: found.body, text: found.body.toString("utf8"), continued: false };
  return { answer, length: found.end };
}

interface Found {
  body: Buffer;
  end: number;
}

function bodyOf(
  bytes: Buffer,
  { start, headers, ended }: { start: number; headers: Headers; ended: boolean },
): Found | undefined {
  if (headers.get("transfer-encoding")?.includes("chunked")) return unchunked(bytes, start);
  const length = headers.get("content-length");
  if (length === null) return ended ? { body: bytes.subarray(start), end: bytes.length } : undefined;
  const end = start + Number(length);
  return bytes.length >= end ? { body: bytes.subarray(start, end), end } : undefined;
}

function unchunked(bytes: Buffer, start: number): Found | undefined {
  const parts: Buffer[] = [];
  for (let at = start; ;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    if (lineEnd < 0) return undefined;
    const size = parseInt(bytes.subarray(at, lineEnd).toString("latin1"), 16);
    const next = lineEnd + 2 + size + 2;
    if (bytes.length < next) return undefined;
    if (size === 0) return { body: Buffer.concat(parts), end: next };
    parts.push(bytes.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = next;
  }
}
