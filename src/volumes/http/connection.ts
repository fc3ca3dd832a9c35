// Owns one connection to a volume server: HTTP/1.1 over a socket, answers in the order of the requests.
// What cannot be told apart any more is not guessed: a request that is late, an answer that is not understood, a body
// that is not read to its end close the connection, with whatever else waits on it.
import { strict as assert } from "node:assert";
import { MkvError } from "../../errors";
import { limits } from "../../limits";
import { Body, lengthIn } from "./body";

/** A request that is sent as a whole. */
export type WireRequest = {
  readonly method: "HEAD" | "GET" | "PUT" | "DELETE" | "MOVE" | "POST";
  /** Path of the URL, without spaces. */
  readonly target: string;
  /** Complete lines, each with its "\r\n". */
  readonly headers: string;
  readonly body?: Uint8Array | undefined;
};

/** What is kept of an answer. `head` is for `fieldOf`, `modified` an HTTP date; the `body` of a GET somebody must read. */
export type Answer = {
  readonly status: number;
  readonly head: string;
  readonly bytes: number | undefined;
  readonly modified: string;
  readonly body: Body | undefined;
};

/** A field of an answer that is seldom asked for, by its name in lower case. */
export function fieldOf({ head }: Answer, name: string): string | undefined {
  const line = head.split("\r\n").find((line) => line.slice(0, name.length + 1).toLowerCase() === `${name}:`);
  return line?.slice(name.length + 1).trim();
}

/** The connection was closed before the answer; `isGivenUp` if for the sake of another request. */
export class LostConnection extends Error {
  constructor(
    cause: unknown,
    readonly isGivenUp: boolean,
  ) {
    super("the connection was closed", { cause });
  }
}

const endOfHead = Buffer.from("\r\n\r\n");

type Waiting = {
  readonly method: string;
  readonly untilMs: number;
  readonly onTimeout: () => Error;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
};

/** What a connection tells whoever keeps it: the address that it reached, and that it is of no more use. */
type Keeper = { reached(address: string): void; forget(): void };

/** A connection, opened at once. */
export class Connection {
  readonly waiting: Waiting[] = [];
  answers = 0;
  /** When something was last heard on it. */
  heardMs = performance.now();
  #socket: Bun.Socket | undefined;
  #outgoing: Uint8Array[] = [];
  /** Heads that go out after those bytes. */
  #heads = "";
  #isFlushing = false;
  #watch: Timer | undefined;
  #watchedMs = Number.POSITIVE_INFINITY;
  #rest: Buffer = Buffer.alloc(0);
  #body: Body | undefined;
  #closesAfter = false;
  #isRetired = false;
  #isClosed = false;
  /** Somebody asks whether it is of use yet, and will send something then. */
  #isChecked = false;
  readonly settled: Promise<void>; // Open, or refused: before that it cannot be closed, and the system tries on, for minutes.

  constructor(
    readonly server: string,
    { hostname, port }: { hostname: string; port: number },
    readonly keeper: Keeper,
  ) {
    const socket = {
      data: (_: unknown, bytes: Buffer) => this.#read(bytes),
      drain: () => this.#flush(),
      close: () => this.#close(new LostConnection(undefined, false)),
      error: (_: unknown, error: Error) => this.#close(new LostConnection(error, false)),
    };
    this.settled = Bun.connect({ hostname, port, socket }).then(
      (opened) => {
        this.#socket = opened;
        this.keeper.reached(opened.remoteAddress);
        opened.setKeepAlive(true, limits.keepAliveMs);
        if (this.#isClosed) opened.end();
        else this.#flush();
      },
      (error) => this.#close(new LostConnection(error, false)),
    );
  }

  /** Whether a request would be the only one on it. */
  get isIdle(): boolean {
    return this.waiting.length === 0 && this.#body === undefined && !this.#isChecked;
  }

  /** Whether nothing was said on it for so long that something on the way may have forgotten it. */
  get isQuiet(): boolean {
    return this.isIdle && this.answers > 0 && performance.now() - this.heardMs > limits.quietMs;
  }

  /** Whether a question now goes out together with others, not too many. */
  get takesMore(): boolean {
    return this.#isFlushing && this.waiting.length < limits.questionsAtOnce;
  }

  /** Sends a request; rejects with what `onTimeout` makes if the head of its answer has not come within `timeoutMs`. */
  send({ method, target, headers, body }: WireRequest, timeoutMs: number, onTimeout: () => Error): Promise<Answer> {
    if (this.#isClosed) return Promise.reject(new LostConnection(undefined, true));
    assert(!/[\s\0]/.test(target), "a request would say more than it should");
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const untilMs = performance.now() + timeoutMs;
    this.waiting.push({ method, untilMs, onTimeout, resolve, reject });
    this.#watchUntil(untilMs);
    this.#heads += `${method} ${target} HTTP/1.1\r\nHost: ${this.server}\r\n${headers}\r\n`;
    if (body) this.#outgoing.push(...this.#takeHeads(), body);
    if (!this.#isFlushing) {
      this.#isFlushing = true;
      setImmediate(() => this.#flush()); // One write for all that this turn of the loop asks.
    }
    return promise;
  }

  /** Asks for any answer, and keeps the connection for whoever asks, who sends something at once. Throws as `send` does. */
  async check(timeoutMs: number, onTimeout: () => Error): Promise<void> {
    this.#isChecked = true;
    try {
      await this.send({ method: "HEAD", target: "/", headers: "" }, timeoutMs, onTimeout);
    } finally {
      setImmediate(() => (this.#isChecked = false));
    }
  }

  /** Takes no further requests, and ends when those that wait on it are answered; questions may be asked again at once. */
  retire(): void {
    this.keeper.forget();
    this.#isRetired = true;
    if (!this.#body && this.waiting.every(({ method }) => method === "HEAD")) this.giveUp();
  }

  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  /** Ends it at once: what is still in the kernel must not arrive later. What else waits on it may be asked again. */
  giveUp(): void {
    this.#close(new LostConnection(undefined, true));
  }

  /** One timer serves all deadlines of the connection: those that are met, nearly all, are not worth one each. */
  #watchUntil(untilMs: number): void {
    if (untilMs >= this.#watchedMs) return;
    clearTimeout(this.#watch);
    this.#watchedMs = untilMs;
    this.#watch = setTimeout(() => this.#checkDeadlines(), Math.max(Math.ceil(untilMs - performance.now()), 1));
  }

  #checkDeadlines(): void {
    this.#watchedMs = Number.POSITIVE_INFINITY;
    const nowMs = performance.now();
    const late = this.waiting.filter(({ untilMs }) => untilMs <= nowMs);
    for (const request of late) request.reject(request.onTimeout());
    if (late.length > 0) return this.giveUp();
    for (const { untilMs } of this.waiting) this.#watchUntil(untilMs);
  }

  #close(reason: LostConnection): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearTimeout(this.#watch);
    this.#watchedMs = Number.POSITIVE_INFINITY;
    this.keeper.forget();
    if (reason.isGivenUp) this.#socket?.terminate();
    else this.#socket?.end();
    for (const { reject } of this.waiting.splice(0)) reject(reason);
    this.#body?.fail(reason.cause ?? reason);
  }

  #flush(): void {
    this.#isFlushing = false;
    if (!this.#socket || this.#isClosed) return;
    this.#outgoing.push(...this.#takeHeads());
    if (this.#outgoing.length === 0) return;
    const bytes = this.#outgoing.length === 1 ? this.#outgoing[0]! : Buffer.concat(this.#outgoing);
    const written = this.#socket.write(bytes);
    this.#outgoing = written < bytes.length ? [bytes.subarray(Math.max(written, 0))] : [];
  }

  #takeHeads(): Buffer[] {
    const heads = this.#heads;
    this.#heads = "";
    return heads === "" ? [] : [Buffer.from(heads, "latin1")];
  }

  #read(bytes: Buffer): void {
    this.heardMs = performance.now();
    let rest = this.#rest.length > 0 ? Buffer.concat([this.#rest, bytes]) : bytes;
    try {
      while (rest.length > 0 && !this.#isClosed) {
        const taken = this.#body ? this.#body.take(rest) : this.#takeHead(rest);
        if (taken === 0) break;
        rest = rest.subarray(taken);
        if (this.#body?.isWhole) this.#body = undefined;
        if ((this.#closesAfter || (this.#isRetired && this.waiting.length === 0)) && !this.#body) this.giveUp();
      }
      if (rest.length > limits.headBytes) throw new MkvError("volume-failed", `${this.server} does not speak HTTP`);
      this.#rest = rest;
    } catch (error) {
      this.#close(new LostConnection(error, false));
    }
  }

  /** Hands an answer to whom it belongs, and makes ready for its body; returns the length of its head, 0 if it lacks some. */
  #takeHead(bytes: Buffer): number {
    const end = bytes.indexOf(endOfHead);
    if (end < 0) return 0;
    const head = bytes.toString("latin1", 0, end + 2);
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1]);
    const waiting = this.waiting[0];
    if (!status || !waiting) throw new MkvError("volume-failed", `${this.server} does not speak HTTP`);
    if (status < 200 && status !== 101) return end + 4; // The answer is still to come.
    const modified = /\r\nlast-modified: *([^\r]*)/i.exec(head)?.[1] ?? "";
    const isChunked = /\r\ntransfer-encoding: *chunked/i.test(head);
    const length = isChunked ? undefined : lengthIn(head);
    if (Number.isNaN(length)) throw new MkvError("volume-failed", `${this.server} does not say how long its answer is`);
    const hasBody = waiting.method !== "HEAD" && status !== 204;
    const isRead = waiting.method === "GET" && (status === 200 || status === 206);
    this.#closesAfter = /\r\nconnection: *close/i.test(head) || (hasBody && length === undefined && !isChunked);
    if (hasBody && (length !== undefined || isChunked))
      this.#body = new Body(this.server, length, isRead ? this : undefined);
    this.waiting.shift();
    this.answers++;
    waiting.resolve({ status, head, bytes: length, modified, body: isRead ? this.#body : undefined });
    return end + 4;
  }
}
