// Owns the answer to "does this volume hold this file?": a yes is reused for at most `freshMs`, a no never; concurrent
// questions about one file are one request.
import { limits } from "../limits";
import { type Client } from "./client";
import { headFile } from "./read";

/** What volumes have just said they hold, or are being asked. */
export class SeenFiles {
  /** What was confirmed since `#sinceMs`: cheaper to forget all at once than one by one. */
  #held = new Set<string>();
  #sinceMs = 0;
  readonly #asked = new Map<string, Promise<boolean>>();

  /**
   * Whether the volume says so: at once if it has done so just now. A shorter file is as none. Throws MkvError where it
   * cannot tell.
   */
  ask(client: Client, volume: string, path: string, leastBytes: number): true | Promise<boolean> {
    if (performance.now() - this.#sinceMs >= limits.freshMs) {
      this.#held = new Set();
      this.#sinceMs = performance.now();
    }
    const file = volume + path;
    if (this.#held.has(file)) return true;
    const known = this.#asked.get(file);
    if (known) return known;
    const ask = async () => {
      try {
        const found = await headFile(client, volume, path);
        const isThere = found !== undefined && found.bytes >= leastBytes;
        if (isThere && this.#held.size < limits.seenFiles) this.#held.add(file);
        return isThere;
      } finally {
        this.#asked.delete(file);
      }
    };
    const answer = ask();
    this.#asked.set(file, answer);
    return answer;
  }
}
