// Owns the body of one PUT to one volume as it passes through `fetch`: at most one chunk waits in it.
// 1. Every wait (connection, room in the socket, the answer) ends after `stalltimeoutMs` without progress.
// 2. A broken or aborted stream closes its connection before the end of the body, so nginx stores nothing of it.
import { nowMs } from "../clock";
import { withDeadline } from "../deadline";
import { MkvError } from "../errors";
import { serverOf } from "../format/volume";
import { limits } from "../limits";
import { cameTooLate, learnClock } from "./fence";
import { type Client } from "./client";
import { requireStored } from "./stored";

/** Makes `fetch` ready: Bun ends the process if the first one finds no file to open. */
export async function warmUp(): Promise<void> {
  const signal = AbortSignal.timeout(limits.warmUpMs);
  await fetch("http://127.0.0.1:9/", { signal, proxy: false }).catch(() => {}); // Nobody listens there, as a rule.
}

/** A PUT that has begun. After any method has thrown, it is over. */
export class BodyStream {
  readonly #abort = new AbortController();
  readonly #answered: Promise<void>;
  #body!: ReadableStreamDefaultController<Uint8Array>;
  #wanted = newDemand();
  #stored = false;

  /** @param lines its header lines */
  constructor(
    readonly client: Client,
    readonly volume: string,
    path: string,
    lines: string,
  ) {
    const body = new ReadableStream<Uint8Array>(
      { start: (controller) => void (this.#body = controller), pull: () => this.#wanted.resolve() },
      { highWaterMark: 0 },
    );
    this.#answered = this.#send(path, body, lines);
    this.#answered.catch((error) => this.#wanted.reject(error));
  }

  /** Waits until the volume takes a chunk. Throws MkvError volume-failed or timeout. */
  async ready(): Promise<void> {
    await this.#progress(this.#wanted.promise);
  }

  /** Hands over a chunk that the volume is ready for. Throws MkvError volume-failed. */
  hand(chunk: Uint8Array): void {
    if (this.#stored)
      throw this.abort(new MkvError("volume-failed", `${this.volume} answered before the end of the value`));
    this.#wanted = newDemand();
    try {
      this.#body.enqueue(chunk);
    } catch (error) {
      throw this.abort(this.client.failure(this.volume, error));
    }
  }

  /** Ends the body and waits until the volume has stored it. Throws MkvError volume-failed, timeout, conflict. */
  async finish(): Promise<void> {
    await this.#progress(Promise.race([this.#wanted.promise, this.#answered]));
    if (!this.#stored) this.#close();
    await this.#progress(this.#answered);
  }

  /** Gives the body up, for this reason. */
  abort(reason: MkvError): MkvError {
    this.#abort.abort(reason);
    this.#wanted.reject(reason);
    return reason;
  }

  async #send(path: string, body: ReadableStream, lines: string): Promise<void> {
    const fields = `${lines}Host: ${serverOf(this.volume)}`.split("\r\n");
    const sentMs = nowMs();
    try {
      const answer = fetch(this.client.shared.pools.urlOf(this.volume, path), {
        headers: Object.fromEntries(fields.map((line) => line.split(/: (.*)/))),
        body,
        method: "PUT",
        redirect: "manual",
        proxy: false, // A proxy of the environment is for the world outside.
        signal: this.#abort.signal,
        keepalive: false, // A kept connection may have been forgotten on the way, and the value would be lost in it.
      });
      const response = await this.client.shared.counts.count(this.volume, "PUT", answer);
      await response.body?.cancel();
      if (response.status === 412) {
        learnClock(this.client.health, serverOf(this.volume), response.headers.get("date") ?? undefined, sentMs);
        throw cameTooLate(this.volume);
      }
      await requireStored(this.client, this.volume, path, response.status);
      this.#stored = true;
    } catch (error) {
      throw this.abort(this.client.failure(this.volume, error));
    }
  }

  #progress<T>(step: Promise<T>): Promise<T> {
    const { stalltimeoutMs } = this.client.settings;
    return withDeadline(stalltimeoutMs, step, () => this.abort(this.client.silentFor(this.volume, stalltimeoutMs)));
  }

  #close(): void {
    try {
      this.#body.close();
    } catch {
      // Bun has closed it itself, since the announced length was reached; the answer decides.
    }
  }
}

function newDemand(): PromiseWithResolvers<void> {
  const demand = Promise.withResolvers<void>();
  demand.promise.catch(() => {}); // Whoever writes next awaits it; this only silences the warning.
  return demand;
}
