// Owns one PUT to one volume, and which way it goes: a small value that comes as a single chunk goes out whole, as a short
// request of our own; any other as a stream, chunk by chunk, through `fetch`.
import { type MkvError } from "../errors";
import { earlierPathOf } from "../format/path";
import { belowServer, serverOf } from "../format/volume";
import { limits } from "../limits";
import { removeValue, syncFile } from "./change";
import { type Client } from "./client";
import { refuseForeign } from "./warnings";
import { requireStored } from "./stored";
import { BodyStream } from "./upload-stream";

/** A value as it goes to a volume. */
type Outgoing = {
  /** Its length where it is known; otherwise a stream goes out chunked. */
  readonly bytes: number | undefined;
  /** HTTP date that nginx takes as the file's time. */
  readonly date: string;
  /** Whether `finish` also waits until it is on the volume's disk. */
  readonly sync: boolean;
};

/** A PUT on its way. After any method has thrown, it is over. */
export class Upload {
  /**
   * How much of the body has been handed over: after `all` the volume may have stored it, whatever it answers. So it may
   * with the last announced byte, whatever else was to come.
   */
  sent: "nothing" | "some" | "all" = "nothing";
  #handedBytes = 0;
  #stream: BodyStream | undefined;
  #givenUp: MkvError | undefined;

  constructor(
    readonly client: Client,
    readonly volume: string,
    readonly path: string,
    readonly value: Outgoing,
  ) {}

  /**
   * Hands over a chunk, which is not the last, as soon as the volume takes it.
   * @throws MkvError volume-failed, timeout; conflict (see stored.ts); unavailable if it is not the disk it was
   */
  async write(chunk: Uint8Array): Promise<void> {
    const stream = this.#stream ?? (await this.#open());
    await stream.ready();
    this.#handedBytes += chunk.length;
    this.sent = this.#handedBytes >= (this.value.bytes ?? Number.POSITIVE_INFINITY) ? "all" : "some";
    stream.hand(chunk);
  }

  /** Hands over the last chunk and waits until all is stored, durably if asked to. Throws MkvError as `write` does. */
  async finish(chunk: Uint8Array): Promise<void> {
    if (!this.#stream && chunk.length > limits.shortBytes) await this.#open();
    await this.#stream?.ready();
    await this.#requireLease();
    if (this.#stream) {
      this.sent = "all";
      this.#stream.hand(chunk);
      await this.#stream.finish();
    } else await this.#sendWhole(chunk);
    if (this.value.sync) await syncFile(this.client, this.volume, this.path, "there");
    const earlier = earlierPathOf(this.path);
    if (earlier !== undefined) await removeValue(this.client, this.volume, earlier);
  }

  /** What has been sent is of no use without the lease: the volume is to have no whole value. */
  async #requireLease(): Promise<void> {
    try {
      if (this.#stream) await this.client.confirmLease(serverOf(this.volume));
      else this.client.requireLease();
    } catch (error) {
      this.abort(error as MkvError);
      throw error;
    }
  }

  abort(reason: MkvError): void {
    this.#givenUp = reason;
    this.#stream?.abort(reason);
  }

  async #sendWhole(body: Uint8Array): Promise<void> {
    refuseForeign(this.client.health, this.volume);
    this.sent = "all";
    const { stalltimeoutMs } = this.client.settings;
    const request = { method: "PUT" as const, headers: this.#headersOf(body.length), body };
    const { status } = await this.client.change(this.volume, this.path, request, stalltimeoutMs);
    await requireStored(this.client, this.volume, this.path, status);
  }

  async #open(): Promise<BodyStream> {
    const { health } = this.client;
    refuseForeign(health, this.volume);
    const server = serverOf(this.volume);
    if (!health.knowsClock(server)) await this.client.greet(server);
    if (this.#givenUp) throw this.#givenUp;
    const signed = this.client.signChange(server, "PUT", belowServer(this.volume) + this.path);
    this.#stream = new BodyStream(this.client, this.volume, this.path, this.#headersOf(this.value.bytes) + signed);
    return this.#stream;
  }

  #headersOf(bytes: number | undefined): string {
    const length = bytes === undefined ? "" : `Content-Length: ${bytes}\r\n`;
    return `${length}Date: ${this.value.date}\r\n`;
  }
}
