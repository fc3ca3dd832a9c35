// Owns who is let in while there are too many at once. Bun neither counts connections nor refuses one, so the open files of
// the process are counted instead:
// 1. Above the bound requests get 503 and their connections are closed; if that does not make room soon, so are those that
//    are idle. What is left is for the journal, the index and the volumes. A connection on which nothing has been asked yet
//    cannot be closed: Bun does so after ten seconds.
// 2. Each PUT needs connections to its volumes. No more are begun at once than there can be.
import { MkvError } from "../errors";
import { limits } from "../limits";
import { warn } from "../log";
import { mostOpenFiles, openFiles } from "../open-files";

/** Open files above which clients are refused; nearly all are their connections. */
export const mostConnections = Number.isFinite(mostOpenFiles)
  ? mostOpenFiles - Math.max(limits.reservedFiles, Math.ceil(mostOpenFiles * limits.reservedShare))
  : mostOpenFiles;

/** The door of one thread. */
export class Admission {
  readonly #mostPuts: number;
  #puts = 0;
  #isCrowded = false;
  /** Since when it has been crowded, or nearly. */
  #crowdedMs = Number.POSITIVE_INFINITY;
  #saidMs = Number.NEGATIVE_INFINITY;
  #lookedMs = Number.NEGATIVE_INFINITY;

  constructor({ replicas, threads }: { replicas: number; threads: number }) {
    const byFiles = mostConnections / 2 / (replicas + 1);
    this.#mostPuts = Math.max(1, Math.floor(Math.min(byFiles, limits.volumeRequests / replicas) / threads));
  }

  /** Looks from time to time whether there is room; `shed` closes idle connections. Disposing of what it returns ends that. */
  watch(shed: () => void): Disposable {
    if (mostOpenFiles === Number.POSITIVE_INFINITY) return { [Symbol.dispose]() {} };
    return setInterval(() => {
      this.#look();
      if (performance.now() - this.#crowdedMs > limits.shedMs) shed();
    }, limits.filesMs).unref();
  }

  /**
   * Lets a request in; disposing of what it returns says that it has ended.
   * @throws MkvError crowded
   */
  enter(method: string): Disposable | undefined {
    if (this.#isCrowded || (method === "PUT" && performance.now() > this.#lookedMs + limits.filesFreshMs)) this.#look();
    if (this.#isCrowded) throw new MkvError("crowded", "too many connections: try again");
    if (method !== "PUT") return undefined;
    if (this.#puts >= this.#mostPuts) throw new MkvError("crowded", "too many writes at once: try again");
    this.#puts++;
    return { [Symbol.dispose]: () => void this.#puts-- };
  }

  #look(): void {
    const files = openFiles();
    this.#lookedMs = performance.now();
    this.#isCrowded = files >= mostConnections;
    if (this.#isCrowded) this.#crowdedMs = Math.min(this.#crowdedMs, performance.now());
    else if (files < mostConnections * limits.relaxedShare) this.#crowdedMs = Number.POSITIVE_INFINITY;
    if (!this.#isCrowded || performance.now() - this.#saidMs < limits.crowdedLogMs) return;
    this.#saidMs = performance.now();
    warn(
      `${files} of ${mostOpenFiles} open files are in use: idle clients are closed and others refused; see LimitNOFILE`,
    );
  }
}
