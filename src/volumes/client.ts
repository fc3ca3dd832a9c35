// Owns the requests to volume servers, each with a deadline. Every answer and every failure of one is told to the health
// here, and nowhere else, and counted.
// A volume is `host:port[/path][/svXX]`; a path is one of `format/path.ts`.
import { nowMs } from "../clock";
import { MkvError, reasonOf } from "../errors";
import { belowServer, serverOf } from "../format/volume";
import { limits } from "../limits";
import { isOutOfFiles, mostOpenFiles, openFiles } from "../open-files";
import { RequestCounts } from "./request-counts";
import { cameTooLate, learnClock, wasSet } from "./fence";
import { type Health } from "./health";
import { type Answer, LostConnection, type WireRequest, fieldOf } from "./http/connection";
import { Pools, type VolumeRequest } from "./http/pool";
import { type LinkSettings, Signer } from "./signer";

/** How volumes are asked. */
export type VolumeSettings = {
  /** Longest wait for the answer to a request without a body. */
  readonly voltimeoutMs: number;
  /** Longest time without progress in the middle of a body. */
  readonly stalltimeoutMs: number;
  /** Whether a write or delete only counts once it is on the volume's disk. */
  readonly sync: boolean;
  /** Value of the `Authorization` header, for volumes that ask for one. */
  readonly credentials: string | undefined;
  /** For volumes that serve nothing without a signature. */
  readonly link?: LinkSettings | undefined;
};

/** For how long something is somebody's, by `nowMs`; it may be renewed meanwhile, or turn out to be over. */
export type Lease = { readonly untilMs: number };

/** A request that changes something; `headers` are lines of its own, `destination` is that of a MOVE, below the server. */
type Change = Pick<WireRequest, "method" | "body"> & { readonly headers?: string; readonly destination?: string };

type Asking = {
  readonly timeoutMs?: number | undefined;
  readonly more?: string | undefined;
  readonly onTimeout?: () => MkvError;
};

/** What all users of a thread share. */
type Shared = {
  readonly pools: Pools;
  readonly counts: RequestCounts;
  /** Servers that have let a deadline pass, and not answered since. */
  readonly silent: Set<string>;
};

/** Who asks, and until when changes may be made. */
type User = { readonly credentials: string | undefined; readonly signer: Signer; readonly lease: Lease };

/** One user's way to the volumes; those of all users share connections, and what is believed of the volumes. */
export class Client {
  /** The header line that the credentials make, if there are any. */
  readonly authorization: string;

  constructor(
    readonly health: Health,
    readonly settings: VolumeSettings,
    readonly user: User = {
      credentials: settings.credentials,
      signer: new Signer(health, settings.link),
      lease: { untilMs: Number.POSITIVE_INFINITY },
    },
    readonly shared: Shared = {
      pools: new Pools((server) => health.lost(server)),
      counts: new RequestCounts(health.topology),
      silent: new Set(),
    },
  ) {
    const { credentials } = user;
    this.authorization = credentials === undefined ? "" : `Authorization: ${credentials}\r\n`;
  }

  /** The same for another user, or for nobody. */
  as(credentials: string | undefined): Client {
    return this.#with({ credentials });
  }

  /** The same for changes that may only be made during this lease. */
  within(lease: Lease): Client {
    return this.#with({ lease });
  }

  /** The same without a signature: a volume judges it by its credentials alone. */
  unsigned(): Client {
    return this.#with({ signer: new Signer(this.health, undefined) });
  }

  #with(change: Partial<User>): Client {
    return new Client(this.health, this.settings, { ...this.user, ...change }, this.shared);
  }

  /** The header lines of a change that is sent now: whose it is, and see signer.ts. Throws MkvError unavailable if the lease is over. */
  signChange(server: string, method: string, uri: string, destination?: string): string {
    const signed = this.user.signer.change(server, method, uri, this.user.lease.untilMs, destination);
    this.requireLease(); // After the clock was looked at: another thread may have learnt meanwhile that there was a pause.
    return this.authorization + signed;
  }

  /**
   * The same as `requireLease`, for a body that the fence has let pass: asks the server for its clock before. Throws
   * MkvError volume-failed or timeout, too.
   */
  async confirmLease(server: string): Promise<void> {
    if (this.user.lease.untilMs === Number.POSITIVE_INFINITY) return;
    const { status } = await this.greet(server, this.settings.stalltimeoutMs);
    if (status >= 500) throw unexpected(server, status);
    this.requireLease();
  }

  /** Throws MkvError unavailable if the lease is over: somebody else may be at work. */
  requireLease(): void {
    if (nowMs() < this.user.lease.untilMs) return;
    throw new MkvError("unavailable", "it took longer than the key was this master's: try again");
  }

  /** Sends a request as it is, which is counted; the health is told nothing. Throws as `Pools.exchange` does. */
  #exchange(request: VolumeRequest, options: { timeoutMs: number; onTimeout: () => MkvError }): Promise<Answer> {
    const { pools, counts } = this.shared;
    return counts.count(request.volume, request.method, pools.exchange(request, options));
  }

  /**
   * Asks for something that changes nothing; `more` are header lines.
   * @param how.onTimeout makes another error of silence, which the health is not told of then
   * @throws MkvError volume-failed or timeout if there is no answer
   */
  async ask(
    volume: string,
    path: string,
    method: "HEAD" | "GET" | "POST",
    {
      timeoutMs = this.settings.voltimeoutMs,
      more = "",
      onTimeout = () => this.lateBy(volume, timeoutMs),
    }: Asking = {},
  ): Promise<Answer> {
    const signed =
      more + this.authorization + this.user.signer.lines(serverOf(volume), method, belowServer(volume) + path);
    const headers = method === "POST" ? `${signed}Content-Length: 0\r\n` : signed;
    try {
      const answer = await this.#exchange({ method, volume, path, headers }, { timeoutMs, onTimeout });
      this.#heard(volume);
      return answer;
    } catch (error) {
      throw this.failure(volume, error);
    }
  }

  /** Asks a server for a sign of life, and learns from it what the fence needs. Throws MkvError volume-failed or timeout. */
  async greet(server: string, timeoutMs?: number): Promise<Answer> {
    const sentMs = nowMs();
    const answer = await this.ask(server, "/", "HEAD", { timeoutMs });
    if (answer.status >= 500) return answer; // It is no answer of whoever serves the values.
    learnClock(this.health, server, fieldOf(answer, "date"), sentMs);
    this.health.setFenced(server, fieldOf(answer, "mkv-fence") !== undefined);
    return answer;
  }

  /**
   * Sends a PUT, DELETE or MOVE within the fence; once more if the volume's clock was set.
   * @throws MkvError volume-failed, also if the volume refuses it as late; timeout
   */
  async change(
    volume: string,
    path: string,
    { method, headers = "", body, destination }: Change,
    timeoutMs: number,
  ): Promise<Answer> {
    const { health } = this;
    const server = serverOf(volume);
    const uri = belowServer(volume) + path;
    const onTimeout = () => this.silentFor(volume, timeoutMs);
    try {
      if (!health.knowsClock(server)) await this.greet(server);
      for (let isLast = false; ; isLast = true) {
        const believed = health.clockOf(server);
        const target = destination === undefined ? "" : `Destination: ${destination}\r\n`;
        const lines = headers + target + this.signChange(server, method, uri, destination);
        const request = { method, volume, path, headers: lines, body };
        const sentMs = nowMs();
        const answer = await this.#exchange(request, { timeoutMs, onTimeout });
        this.#heard(volume);
        if (answer.status !== 412) return answer;
        learnClock(health, server, fieldOf(answer, "date"), sentMs);
        if (isLast || !wasSet(believed, health.clockOf(server))) throw cameTooLate(volume);
      }
    } catch (error) {
      throw this.failure(volume, error);
    }
  }

  #heard(volume: string): void {
    this.health.heard(volume);
    this.shared.silent.delete(serverOf(volume));
  }

  /** The failure that anything thrown by a connection stands for. */
  failure(volume: string, error: unknown): MkvError {
    if (error instanceof MkvError) return error;
    if (isOutOfFiles(error) || openFiles() + 2 > mostOpenFiles)
      // Bun says ECONNREFUSED then; it is no fault of the volume's.
      return new MkvError("unavailable", "this process may open no more files: try again", { cause: error });
    // One that was given up was closed by this process itself.
    if (!(error instanceof LostConnection && error.isGivenUp)) this.health.lost(volume);
    const code = (error as { code?: string }).code ?? reasonOf(error);
    const text =
      code === "ECONNREFUSED" || code === "ConnectionRefused" ? "refuses connections" : `cannot be used: ${code}`;
    return new MkvError("volume-failed", `${serverOf(volume)} ${text}`, { cause: error });
  }

  /** The failure of a volume that let the deadline of a question pass. */
  lateBy(volume: string, timeoutMs: number): MkvError {
    const { silent } = this.shared;
    this.health.lost(volume);
    if (silent.size >= limits.strangers) silent.clear();
    silent.add(serverOf(volume));
    return new MkvError("timeout", `${serverOf(volume)} has not answered for ${timeoutMs} ms`);
  }

  /** The failure of a volume that let the deadline of a change pass, which it may still have in hand. */
  silentFor(volume: string, timeoutMs: number): MkvError {
    this.health.silent(volume, nowMs() - timeoutMs);
    return this.lateBy(volume, timeoutMs);
  }
}

/** The failure of a volume that wants another password or signature. */
export class AccessRefused extends MkvError {
  constructor(volume: string, status: number) {
    const advice = "check its AUTH and LINK_KEY, -userpass and -linkkey, and who owns its files: its log says which";
    super("volume-failed", `${volume} refuses access (${status}): ${advice}`);
  }
}

/** The failure of a volume that answered with a status it should not. */
export function unexpected(volume: string, status: number): MkvError {
  if (status === 401 || status === 403) return new AccessRefused(volume, status);
  const advice = status >= 500 ? ": its disk is full, read-only or fails, its log says which" : "";
  return new MkvError("volume-failed", `${volume} answered ${status}${advice}`);
}
