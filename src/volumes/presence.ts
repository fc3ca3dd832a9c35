// Owns the answer to "does this volume hold this file?": a yes is reused for at most `freshMs`, a no never; concurrent
// questions about one file are one request.
import { limits } from "../limits";
import { type VolumeAccess, head } from "./volume";

/** What volumes have just said they hold. */
export class Presence {
  readonly #asked = new Map<string, Promise<boolean>>();
  /** What was seen in this half of `freshMs`, and in the half before: cheaper to forget than one by one. */
  #young = new Set<string>();
  #old = new Set<string>();
  #turnedMs = 0;

  /** Whether the volume has said so just now. */
  isKnown(volume: string, path: string): boolean {
    this.#turn();
    const file = volume + path;
    return this.#young.has(file) || this.#old.has(file);
  }

  /** Asks the volume. An empty file is as none: values are never empty. Throws MkvError where it cannot tell. */
  ask(access: VolumeAccess, volume: string, path: string): Promise<boolean> {
    const file = volume + path;
    const asked = this.#asked.get(file);
    if (asked) return asked;
    const answer = head(access, volume, path).then(
      (found) => {
        this.#asked.delete(file);
        if (!found || found.bytes === 0) return false;
        this.#turn();
        if (this.#young.size < limits.presences) this.#young.add(file);
        return true;
      },
      (error) => {
        this.#asked.delete(file);
        throw error;
      },
    );
    this.#asked.set(file, answer);
    return answer;
  }

  #turn(): void {
    const half = limits.freshMs / 2;
    const sinceMs = performance.now() - this.#turnedMs;
    if (sinceMs < half) return;
    this.#old = sinceMs < limits.freshMs ? this.#young : new Set();
    this.#young = new Set();
    this.#turnedMs += sinceMs - (sinceMs % half);
  }
}
