// Owns the answer to "does this volume hold this file?": a yes is reused for at most `freshMs`, a no never; concurrent
// questions about one file are one request.
import { limits } from "../limits";
import { type Client } from "./client";
import { headFile } from "./read";

/** What volumes have just said they hold, or are being asked. */
export class Presence {
  /** What was asked in this half of `freshMs`, and in the half before: cheaper to forget than one by one. */
  #young = new Map<string, true | Promise<boolean>>();
  #old = new Map<string, true | Promise<boolean>>();
  #turnedMs = 0;

  /** Whether the volume says so: at once if it has done so just now. A shorter file is as none. */
  ask(client: Client, volume: string, path: string, leastBytes: number): true | Promise<boolean> {
    this.#turn();
    const file = volume + path;
    const known = this.#young.get(file) ?? this.#old.get(file);
    if (known) return known;
    const answer = this.#ask(client, { volume, path, leastBytes }, file);
    this.#young.set(file, answer);
    return answer;
  }

  /** Throws MkvError where it cannot tell. */
  async #ask(
    client: Client,
    { volume, path, leastBytes }: { volume: string; path: string; leastBytes: number },
    file: string,
  ): Promise<boolean> {
    let isThere = false;
    try {
      const found = await headFile(client, volume, path);
      isThere = found !== undefined && found.bytes >= leastBytes;
      return isThere;
    } finally {
      if (!isThere || this.#young.size > limits.presences) this.#forget(file);
      else this.#young.set(file, true);
    }
  }

  #forget(file: string): void {
    this.#young.delete(file);
    this.#old.delete(file);
  }

  #turn(): void {
    const half = limits.freshMs / 2;
    const sinceMs = performance.now() - this.#turnedMs;
    if (sinceMs < half) return;
    this.#old = sinceMs < limits.freshMs ? this.#young : new Map();
    this.#young = new Map();
    this.#turnedMs += sinceMs - (sinceMs % half);
  }
}
