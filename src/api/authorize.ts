// Owns who may ask: with `-basicauth`, whoever the volumes let in. The password file is theirs alone.
// 1. Nobody passes unless a volume that turns strangers away has accepted the credentials.
// 2. What is remembered is a salted digest, for `authMs`; never the password. So are refusals, for `refusedMs`.
// 3. Who is not let in learns nothing of the volumes.
// 4. Passwords that one address guesses are tried one after the other, ever more slowly.
import { MkvError, hasCode, reasonOf } from "../errors";
import { limits } from "../limits";
import { warn } from "../log";
import { Turns } from "../turns";
import { type Volumes } from "../volumes/volumes";

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
    const rank = (volume: string) => Number(volumes.health.isUp(volume));
    for (const volume of volumes.topology.volumes.toSorted((a, b) => rank(b) - rank(a))) {
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
        if (hasCode(error, "unauthorized")) throw error;
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

type Guesser = { readonly turns: Turns; wrong: number; waiting: number; lastMs: number; saidMs: number };

class Guesses {
  readonly #guessers = new Map<string, Guesser>();

  /**
   * Tries credentials that nobody knows yet, when their turn has come.
   * @throws MkvError crowded if too many wait already; what `ask` throws
   */
  async try(address: string, ask: () => Promise<void>): Promise<void> {
    const name = networkOf(address);
    const guesser = this.#guesserAt(name);
    if (guesser.waiting >= limits.guessesWaiting)
      throw new MkvError("crowded", "too many passwords were tried from this address: try again later");
    guesser.waiting++;
    try {
      using _turn = await guesser.turns.enter();
      const tooMany = guesser.wrong - limits.guessesFree;
      if (tooMany >= 0) await Bun.sleep(Math.min(limits.guessPauseMs * (tooMany + 1), limits.longestGuessPauseMs));
      await ask();
    } catch (error) {
      if (hasCode(error, "unauthorized")) this.#note(name, guesser);
      throw error;
    } finally {
      guesser.waiting--;
    }
  }

  #guesserAt(name: string): Guesser {
    const now = performance.now();
    let guesser = this.#guessers.get(name);
    if (guesser && guesser.waiting === 0 && now - guesser.lastMs > limits.guesserMs) guesser = undefined;
    guesser ??= { turns: new Turns(1), wrong: 0, waiting: 0, lastMs: now, saidMs: Number.NEGATIVE_INFINITY };
    this.#guessers.delete(name); // The map is in the order of their last guesses.
    this.#guessers.set(name, guesser);
    if (this.#guessers.size > limits.authEntries) this.#guessers.delete(this.#guessers.keys().next().value!);
    return guesser;
  }

  #note(name: string, guesser: Guesser): void {
    guesser.wrong++;
    guesser.lastMs = performance.now();
    if (guesser.wrong < limits.guessesFree || guesser.lastMs - guesser.saidMs < limits.crowdedLogMs) return;
    guesser.saidMs = guesser.lastMs;
    warn(`${name} has tried ${guesser.wrong} wrong passwords: its guesses are slowed down`);
  }
}

/** An IPv4 address, or the network of 64 bits that an IPv6 address is one of many in. */
function networkOf(address: string): string {
  const v4 = /^(?:::ffff:)?(\d+(?:\.\d+){3})$/i.exec(address)?.[1];
  if (v4 !== undefined) return v4;
  const [left = "", right] = address.split("::");
  const groups = left.split(":").filter((group) => group !== "");
  const last = right === undefined ? [] : right.split(":").filter((group) => group !== "");
  while (right !== undefined && groups.length + last.length < 8) groups.push("0");
  return `${[...groups, ...last].slice(0, 4).join(":")}::/64`;
}
