// Owns the body of one answer as it comes in: its framing, by Content-Length or in chunks (RFC 9112, section 7.1), and what
// nobody has taken of it yet. No more waits in it than one read of the socket brings.
import { withDeadline } from "../../deadline";
import { MkvError } from "../../errors";

/** What a body needs of its connection. */
export type Source = { pause(): void; resume(): void; giveUp(): void };

const longestLine = 1024;
const newline = 0x0a;

/** A body that somebody reads; or that is passed over, if it has no source. */
export class Body {
  readonly #server: string;
  readonly #source: Source | undefined;
  /** Bytes that are left of it, or of the current chunk. */
  #left: number;
  /** What the next line of a chunked body is; undefined for any other. */
  #expected: "size" | "end of chunk" | "trailer" | undefined;
  #line = "";
  #chunks: Uint8Array[] = [];
  #failure: unknown;
  #wake: (() => void) | undefined;

  /** @param bytes its length; undefined if it comes in chunks */
  constructor(server: string, bytes: number | undefined, source: Source | undefined) {
    this.#server = server;
    this.#source = source;
    this.#left = bytes ?? 0;
    this.#expected = bytes === undefined ? "size" : undefined;
  }

  /** Whether all of it has come in. */
  get isWhole(): boolean {
    return this.#left === 0 && this.#expected === undefined;
  }

  /** Takes in what belongs to it, and returns how many bytes that are. Throws MkvError volume-failed for bad framing. */
  take(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length && !this.isWhole) {
      if (this.#left > 0) {
        const chunk = bytes.subarray(at, at + this.#left);
        at += chunk.length;
        this.#left -= chunk.length;
        if (this.#source) this.#chunks.push(chunk);
        continue;
      }
      const end = bytes.indexOf(newline, at);
      this.#line += bytes.toString("latin1", at, end < 0 ? bytes.length : end + 1);
      at = end < 0 ? bytes.length : end + 1;
      if (this.#line.length > longestLine) throw misframed(this.#server);
      if (end >= 0) this.#frame(this.#line.trimEnd());
    }
    if (this.#chunks.length > 0 && !this.isWhole) this.#source?.pause();
    this.#wake?.();
    return at;
  }

  /** The rest of it cannot come. */
  fail(cause: unknown): void {
    this.#failure = cause;
    this.#wake?.();
  }

  /**
   * The next chunk; undefined at the end.
   * @throws what `onTimeout` makes if none comes within `stalltimeoutMs`; an Error of the connection's
   */
  async next(stalltimeoutMs: number, onTimeout: () => MkvError): Promise<Uint8Array | undefined> {
    while (this.#chunks.length === 0) {
      if (this.isWhole) return undefined;
      if (this.#failure !== undefined) throw this.#failure;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      this.#source?.resume();
      await withDeadline(stalltimeoutMs, promise, onTimeout);
    }
    return this.#chunks.shift();
  }

  /** Whoever reads it wants no more. */
  close(): void {
    if (!this.isWhole) this.#source?.giveUp();
  }

  #frame(line: string): void {
    this.#line = "";
    if (this.#expected === "size") {
      const size = /^[0-9a-f]{1,12}(?=[;\s]|$)/i.exec(line)?.[0];
      if (size === undefined) throw misframed(this.#server);
      this.#left = Number.parseInt(size, 16);
      this.#expected = this.#left === 0 ? "trailer" : "end of chunk";
    } else if (line === "") {
      this.#expected = this.#expected === "trailer" ? undefined : "size";
    } else if (this.#expected === "end of chunk") throw misframed(this.#server);
  }
}

/** The length that a head says; NaN for what is none, or one of two: what is cut by that would look whole. */
export function lengthIn(head: string): number | undefined {
  const [field, second] = head.match(/\r\ncontent-length:.*/gi) ?? [];
  if (field === undefined) return undefined;
  const text = field.slice("\r\ncontent-length:".length).trim();
  return second === undefined && /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
}

function misframed(server: string): MkvError {
  return new MkvError("volume-failed", `${server} sends a body that is not framed as HTTP has it`);
}
