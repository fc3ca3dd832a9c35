// Owns the answer to "does this volume hold this file?": a yes is reused for at most `freshMs`, a no never; concurrent
// questions about one file are one request.
import { limits } from "../limits";
import { type Client } from "./client";
import { headFile } from "./read";

/** What volumes have just said they hold, or are being asked. */
export class Presence {
  /** What was asked since `#sinceMs`: cheaper to forget all at once than one by one. */
  #files = new Map<string, true | Promise<boolean>>();
  #sinceMs = 0;

  /**
   * Whether the volume says so: at once if it has done so just now. A shorter file is as none. Throws MkvError where it
   * cannot tell.
   */
  ask(client: Client, volume: string, path: string, leastBytes: number): true | Promise<boolean> {
    if (performance.now() - this.#sinceMs >= limits.freshMs) {
      this.#files = new Map();
      this.#sinceMs = performance.now();
    }
    const file = volume + path;
    const known = this.#files.get(file);
    if (known) return known;
    const ask = async () => {
      let isThere = false;
      try {
        const found = await headFile(client, volume, path);
        isThere = found !== undefined && found.bytes >= leastBytes;
        return isThere;
      } finally {
        if (isThere && this.#files.size <= limits.presences) this.#files.set(file, true);
        else this.#files.delete(file);
      }
    };
    const answer = ask();
    this.#files.set(file, answer);
    return answer;
  }
}
