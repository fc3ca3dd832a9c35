// Owns one PUT to one volume while its body passes: at most one chunk waits in it.
// 1. Every wait (connection, room in the socket, the answer) ends after `silenceMs` without progress.
// 2. A broken or aborted upload closes its connection before the end of the body, so nginx stores nothing of it.
import { MkvError } from "../errors";
import { limits } from "../limits";
import { type VolumeAccess, failureOf, silent, sync, unexpected } from "./volume";

/** A PUT that has begun. After any method has thrown, the upload is over. */
export class Upload {
  /** How much of the body has been handed over: after `all` the volume may have stored it, whatever it answers. */
  sent: "nothing" | "some" | "all" = "nothing";
  readonly #access: VolumeAccess;
  readonly #path: string;
  readonly #abort = new AbortController();
  readonly #answered: Promise<void>;
  readonly #watch: Timer;
  #body!: ReadableStreamDefaultController<Uint8Array>;
  #wanted = newDemand();
  #waitingSinceMs = 0;
  #stored = false;

  /**
   * @param bytes length of the value where it is known; otherwise the body goes out chunked
   * @param date HTTP date that nginx takes as the file's time
   */
  constructor(
    access: VolumeAccess,
    readonly volume: string,
    path: string,
    { bytes, date }: { bytes: number | undefined; date: string },
  ) {
    this.#access = access;
    this.#path = path;
    const body = new ReadableStream<Uint8Array>(
      { start: (controller) => void (this.#body = controller), pull: () => this.#wanted.resolve() },
      { highWaterMark: 0 },
    );
    const headers: Record<string, string> = { date };
    if (bytes !== undefined) headers["content-length"] = String(bytes);
    if (access.credentials) headers["authorization"] = access.credentials;
    this.#watch = setInterval(() => this.#checkProgress(), Math.min(access.silenceMs / 4, 1000));
    this.#answered = this.#send(`http://${volume}${path}`, { body, headers });
    this.#answered.catch((error) => this.#wanted.reject(error));
  }

  /** Hands over a chunk as soon as the volume takes it. Throws MkvError volume-failed or timeout. */
  async write(chunk: Uint8Array): Promise<void> {
    await this.#progress(this.#wanted.promise);
    this.sent = "some";
    this.#hand(chunk);
  }

  /** Hands over the last chunk and waits until the volume has stored all, durably if asked to. Throws MkvError volume-failed or timeout. */
  async finish(chunk: Uint8Array): Promise<void> {
    await this.#progress(this.#wanted.promise);
    this.sent = "all";
    this.#hand(chunk);
    await this.#progress(Promise.race([this.#wanted.promise, this.#answered]));
    if (!this.#stored) this.#close();
    await this.#progress(this.#answered);
    const access = { ...this.#access, answerMs: limits.confirmMs };
    if (access.durable) await sync(access, this.volume, this.#path, { expected: "there" });
  }

  /** Gives the upload up. */
  abort(reason: MkvError): void {
    this.#fail(reason);
  }

  async #send(url: string, request: { body: ReadableStream; headers: Record<string, string> }): Promise<void> {
    try {
      const response = await fetch(url, { ...request, method: "PUT", redirect: "manual", signal: this.#abort.signal });
      await response.body?.cancel();
      if (response.status !== 201 && response.status !== 204) {
        if (response.status >= 500) this.#access.health.full(this.volume);
        throw unexpected(this.volume, response.status);
      }
      this.#access.health.heard(this.volume);
      this.#stored = true;
    } catch (error) {
      throw this.#fail(failureOf(this.#access, this.volume, error));
    } finally {
      clearInterval(this.#watch);
    }
  }

  async #progress<T>(step: Promise<T>): Promise<T> {
    this.#waitingSinceMs = performance.now();
    const result = await step;
    this.#waitingSinceMs = 0;
    return result;
  }

  #checkProgress(): void {
    const { silenceMs } = this.#access;
    if (this.#waitingSinceMs === 0 || performance.now() - this.#waitingSinceMs < silenceMs) return;
    this.#access.health.silent(this.volume);
    this.#fail(silent(this.#access, this.volume, silenceMs));
  }

  #hand(chunk: Uint8Array): void {
    if (this.#stored)
      throw this.#fail(new MkvError("volume-failed", `${this.volume} answered before the end of the value`));
    this.#wanted = newDemand();
    try {
      this.#body.enqueue(chunk);
    } catch (error) {
      throw this.#fail(failureOf(this.#access, this.volume, error));
    }
  }

  #close(): void {
    try {
      this.#body.close();
    } catch {
      // Bun has closed it itself, since the announced length was reached; the answer decides.
    }
  }

  #fail(reason: MkvError): MkvError {
    this.#abort.abort(reason);
    this.#wanted.reject(reason);
    return reason;
  }
}

function newDemand(): PromiseWithResolvers<void> {
  const demand = Promise.withResolvers<void>();
  demand.promise.catch(() => {}); // Whoever writes next is told; nobody may.
  return demand;
}
