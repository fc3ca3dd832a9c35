// Owns one PUT to one volume. A small value that comes as a single chunk goes out whole, as a short request; any other as
// a stream, chunk by chunk.
import { type MkvError } from "../errors";
import { limits } from "../limits";
import { BodyStream } from "./upload-stream";
import { type VolumeAccess, authorization, checkStored, failureOf, sync, tooLate } from "./volume";
import { exchange } from "./http/pool";

/** A PUT on its way. After any method has thrown, it is over. */
export class Upload {
  /** How much of the body has been handed over: after `all` the volume may have stored it, whatever it answers. */
  sent: "nothing" | "some" | "all" = "nothing";
  #stream: BodyStream | undefined;

  /**
   * @param value.bytes its length where it is known; otherwise a stream goes out chunked
   * @param value.date HTTP date that nginx takes as the file's time
   */
  constructor(
    readonly access: VolumeAccess,
    readonly volume: string,
    readonly path: string,
    readonly value: { readonly bytes: number | undefined; readonly date: string },
  ) {}

  /** Hands over a chunk, which is not the last, as soon as the volume takes it. Throws MkvError volume-failed, timeout. */
  async write(chunk: Uint8Array): Promise<void> {
    const { access, volume, path } = this;
    this.#stream ??= new BodyStream(access, volume, path, this.#headers());
    await this.#stream.ready();
    this.sent = "some";
    this.#stream.hand(chunk);
  }

  /** Hands over the last chunk and waits until all is stored, durably if asked to. Throws MkvError volume-failed, timeout. */
  async finish(chunk: Uint8Array): Promise<void> {
    if (this.#stream) {
      await this.#stream.ready();
      this.sent = "all";
      this.#stream.hand(chunk);
      await this.#stream.finish();
    } else if (chunk.length <= limits.shortBytes) await this.#sendWhole(chunk);
    else {
      await this.write(chunk);
      this.sent = "all";
      await this.#stream!.finish();
    }
    if (this.access.sync) await sync(this.access, this.volume, this.path, { expected: "there" });
  }

  /** Gives the upload up. */
  abort(reason: MkvError): void {
    this.#stream?.abort(reason);
  }

  async #sendWhole(body: Uint8Array): Promise<void> {
    const { access, volume } = this;
    const onTimeout = () => {
      access.health.silent(volume);
      return tooLate(access, volume, access.stalltimeoutMs);
    };
    this.sent = "all";
    try {
      const headers = `Content-Length: ${body.length}\r\nDate: ${this.value.date}\r\n${authorization(access)}`;
      const request = { method: "PUT" as const, volume, path: this.path, headers, body };
      const { status } = await exchange(request, { timeoutMs: access.stalltimeoutMs, onTimeout });
      checkStored(access, volume, status);
    } catch (error) {
      throw failureOf(access, volume, error);
    }
  }

  #headers(): Record<string, string> {
    const { bytes, date } = this.value;
    const { credentials } = this.access;
    return {
      date,
      ...(bytes !== undefined && { "content-length": String(bytes) }),
      ...(credentials !== undefined && { authorization: credentials }),
    };
  }
}
