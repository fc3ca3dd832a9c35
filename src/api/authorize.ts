// Owns who may ask: with `-basicauth`, whoever the volumes let in. The password file is theirs alone.
// 1. Nobody passes unless a volume that turns strangers away has accepted the credentials.
// 2. What is remembered is a salted digest, for `authMs`; never the password. So are refusals, for `refusedMs`.
// 3. Who is not let in learns nothing of the volumes.
import { MkvError, reasonOf } from "../errors";
import { limits } from "../limits";
import { warn } from "../log";
import { type Volumes } from "../volumes/volumes";
import { Guesses } from "./guesses";

/** Asks volumes whether credentials are good. */
export class Authorizer {
  readonly #salt = crypto.getRandomValues(new Uint8Array(16));
  readonly #good = new Map<string, number>();
  readonly #refused = new Map<string, number>();
  readonly #guesses = new Guesses();
  #saidMs = Number.NEGATIVE_INFINITY;
  readonly #asked = new Map<string, Promise<void>>();

  constructor(readonly volumes: Volumes) {}

  /**
   * @param credentials the request's `Authorization` header
   * @param address of the client
   * @returns the same header, to be passed on to the volumes
   * @throws MkvError unauthorized; unavailable if no volume can tell; crowded if its client guesses too much
   */
  async check(credentials: string | null, address: string): Promise<string> {
    if (credentials === null || credentials.length > limits.authBytes || !parse(credentials))
      throw new MkvError("unauthorized", "this store asks for a user and a password");
    const digest = new Bun.CryptoHasher("sha256").update(this.#salt).update(credentials).digest("base64");
    if ((this.#good.get(digest) ?? 0) > performance.now()) return credentials;
    if ((this.#refused.get(digest) ?? 0) > performance.now()) throw wrong();
    let answer = this.#asked.get(digest);
    if (!answer) {
      const ask = () => this.#ask(credentials, digest);
      // What was good before is no guess: it does not wait behind those of its address.
      answer = (this.#good.has(digest) ? ask() : this.#guesses.try(address, ask)).finally(() =>
        this.#asked.delete(digest),
      );
      this.#asked.set(digest, answer);
    }
    await answer;
    return credentials;
  }

  async #ask(credentials: string, digest: string): Promise<void> {
    const reasons: string[] = [];
    const volumes = this.volumes.as(credentials);
    const { topology } = volumes;
    for (const volume of topology.volumes.toSorted(
      (a, b) => Number(volumes.health.isUp(b)) - Number(volumes.health.isUp(a)),
    )) {
      try {
        const verdict = await volumes.checkUser(volume);
        if (verdict === "wrong") {
          this.#good.delete(digest);
          remember(this.#refused, digest, limits.refusedMs);
          throw wrong();
        }
        if (verdict === "good") return remember(this.#good, digest, limits.authMs);
        reasons.push(`${volume} asks for no authorization: start it with AUTH`);
      } catch (error) {
        if (error instanceof MkvError && error.code === "unauthorized") throw error;
        reasons.push(reasonOf(error));
      }
    }
    if (performance.now() - this.#saidMs >= limits.crowdedLogMs) {
      this.#saidMs = performance.now();
      warn(`no volume can check passwords: ${reasons.join("; ")}`);
    }
    throw new MkvError("unavailable", "no volume can check the authorization: the log of the master says why");
  }
}

function wrong(): MkvError {
  return new MkvError("unauthorized", "the user or the password is wrong");
}

function remember(digests: Map<string, number>, digest: string, forMs: number): void {
  if (digests.size >= limits.authEntries) digests.clear();
  digests.set(digest, performance.now() + forMs);
}

/** Credentials as the `user:password@` of a URL, percent-encoded; empty without any. */
export function asUserInfo(credentials: string | undefined): string {
  const parsed = credentials === undefined ? undefined : parse(credentials);
  return parsed ? `${encodeURIComponent(parsed.user)}:${encodeURIComponent(parsed.password)}@` : "";
}

/** The user that credentials name; empty if they name none. */
export function userOf(credentials: string): string {
  return parse(credentials)?.user ?? "";
}

/** User and password, without control characters (RFC 7617, section 2): a volume's nginx reads no further than a zero byte. */
function parse(credentials: string): { user: string; password: string } | undefined {
  const base64 = /^basic +([A-Za-z0-9+/]+={0,2})$/i.exec(credentials)?.[1];
  if (base64 === undefined) return undefined;
  const [, user, password] = /^([^:\p{Cc}]+):(\P{Cc}*)$/u.exec(Buffer.from(base64, "base64").toString("utf8")) ?? [];
  return user === undefined || password === undefined ? undefined : { user, password };
}
