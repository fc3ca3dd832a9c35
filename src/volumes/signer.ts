// Owns what a request says of itself to a volume: until when it may begin, and a sum that shows who says so. One mechanism
// is the fence of changes and, with a link key, the pass of every request and the link in a redirect. (The script `volume`
// is the other end.)
//   Mkv-Until: SECONDS       since the epoch, by the volume's clock
//   Mkv-Sum: base64url(md5("KEY SECONDS METHOD URI DESTINATION KEY"))
//                            METHOD is GET for HEAD; URI has no escapes; DESTINATION is that of a MOVE, or empty
//   Mkv-Key: NAME            which key it is, while keys change: the beginning of its MD5
//   link := "?until=" SECONDS "&sum=" SUM "&key=" NAME     the same for a GET, as the query of its URL
// 1. Without a link key KEY is empty, and only changes say so: that is the fence.
// 2. A question and the redirect that follows it say the same, which is worked out once.
import { nowMs } from "../clock";
import { limits } from "../limits";
import { type Health } from "./health";

/** The secret that volumes and master share, and its name. */
export type LinkKey = { readonly secret: string; readonly name: string };

/** The key, and how long a link holds. */
export type LinkSettings = { readonly key: LinkKey; readonly ttlMs: number };

/** What a request says. */
type Signature = { readonly until: number; readonly sum: string; readonly key: string | undefined };

/** Signs the requests of a thread. */
export class Signer {
  readonly #readings = new Map<string, Signature>();

  constructor(
    readonly health: Health,
    readonly settings: LinkSettings | undefined,
  ) {}

  /**
   * The header lines of a change that is sent now, of a URI without escapes; none for a volume whose clock is not known.
   * @param untilMs by `nowMs`: it may not begin later, whenever it is sent
   * @param destination of a MOVE
   */
  change(
    server: string,
    method: string,
    uri: string,
    untilMs: number = Number.POSITIVE_INFINITY,
    destination = "",
  ): string {
    const offsetMs = this.#offsetOf(server);
    if (offsetMs === undefined) return ""; // It says no dates: nginx always does.
    const until = Math.floor((Math.min(nowMs() + limits.fenceMs, untilMs) + offsetMs) / 1000);
    return linesOf(this.#sign(until, method, uri, destination));
  }

  /** The header lines of what changes nothing; none without a key. */
  lines(server: string, method: "GET" | "HEAD" | "POST", uri: string): string {
    if (!this.settings) return "";
    if (method !== "POST" && !uri.endsWith("/")) return linesOf(this.#reading(server, uri));
    return linesOf(this.#sign(this.#lastSecond(server), method === "HEAD" ? "GET" : method, uri));
  }

  /** The query that makes the URL of a file a link; empty without a key. */
  link(server: string, uri: string): string {
    if (!this.settings) return "";
    const { until, sum, key } = this.#reading(server, uri);
    return `?until=${until}&sum=${sum}&key=${key}`;
  }

  /** The signature of a GET, which may be some of its time old. */
  #reading(server: string, uri: string): Signature {
    const last = this.#lastSecond(server);
    const file = server + uri;
    const known = this.#readings.get(file);
    const agedMs = known ? (last - known.until) * 1000 : Number.POSITIVE_INFINITY;
    if (known && agedMs >= 0 && agedMs <= this.settings!.ttlMs / 10) return known;
    if (this.#readings.size >= limits.links) this.#readings.clear();
    const signature = this.#sign(last, "GET", uri);
    this.#readings.set(file, signature);
    return signature;
  }

  /** Until when what is read may be asked for. */
  #lastSecond(server: string): number {
    const ttlMs = Math.max(this.settings!.ttlMs, limits.fenceMs);
    return Math.ceil((nowMs() + this.#offsetOf(server)! + ttlMs) / 1000);
  }

  /** How far a volume's clock is ahead of `nowMs`; with a key, a volume that has not told has the clock of this machine. */
  #offsetOf(server: string): number | undefined {
    return this.health.clockOf(server)?.leastMs ?? (this.settings && Date.now() - nowMs());
  }

  #sign(until: number, method: string, uri: string, destination = ""): Signature {
    const { secret = "", name } = this.settings?.key ?? {};
    const path = uri.includes("%") ? unescapePath(uri) : uri;
    const text = `${secret} ${until} ${method} ${path} ${destination} ${secret}`;
    const sum = Bun.MD5.hash(Buffer.from(text, "latin1"), "base64url" as "base64");
    return { until, sum, key: name };
  }
}

function linesOf({ until, sum, key }: Signature): string {
  return `Mkv-Until: ${until}\r\nMkv-Sum: ${sum}\r\n${key === undefined ? "" : `Mkv-Key: ${key}\r\n`}`;
}

function unescapePath(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, byte: string) => String.fromCharCode(Number.parseInt(byte, 16)));
}
