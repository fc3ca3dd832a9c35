// Owns all that the store may ask of volumes: which are fit for what, and what is on them.
// 1. What has just given a sign of life is relied on, anything else is asked first.
// 2. A disk that is not the one it was is asked for nothing that would be believed: what it lacks was never removed.
// A volume is `host:port[/path][/svXX]`; a path is one of `format/path.ts`.
import { MkvError } from "../errors";
import { nowMs } from "../clock";
import { type Topology } from "../format/placement";
import { belowServer, serverOf } from "../format/volume";
import { limits } from "../limits";
import { hasService, moveFile, syncValue } from "./change";
import { Client, type Lease, type VolumeSettings, unexpected } from "./client";
import { type Beliefs, Health } from "./health";
import { idOf } from "./id-file";
import { type Listed, list } from "./listing";
import { SeenFiles } from "./seen-files";
import { Probes } from "./probes";
import { type ByteRange, type FileInfo, type OpenFile, headValue, openValue } from "./read";
import { type RemoveOptions, type Unconfirmed, remove, removeFrom, whyUnsettled } from "./remove";
import { Upload } from "./upload";

/** What is remembered of them, whoever asks. */
type Known = {
  readonly seenFiles: SeenFiles;
  readonly probes: Probes;
  readonly syncs: Map<string, { readonly untilMs: number; readonly answer: Promise<boolean> }>;
};

/** The volumes of a store, as one thread and one user ask them. */
export class Volumes {
  readonly topology: Topology;
  readonly settings: VolumeSettings;
  /** What is believed of them: it is learnt from their answers alone. */
  readonly health: Beliefs;
  readonly #known: Known;

  /** @param client how they are asked; for volumes/ alone */
  constructor(
    readonly client: Client,
    known: Known = { seenFiles: new SeenFiles(), probes: new Probes(), syncs: new Map() },
  ) {
    this.topology = client.health.topology;
    this.settings = client.settings;
    this.health = client.health;
    this.#known = known;
  }

  /** What the threads of a process share. */
  static readonly share = Health.share;

  static of(topology: Topology, settings: VolumeSettings, shared = Volumes.share(topology)): Volumes {
    return new Volumes(new Client(new Health(topology, shared), settings));
  }

  /** The same volumes, asked as another user. */
  as(credentials: string | undefined): Volumes {
    return new Volumes(this.client.as(credentials), this.#known);
  }

  /** The same volumes, for changes that may only be made during this lease: one that is sent says until when. */
  within(lease: Lease): Volumes {
    return lease.untilMs === Number.POSITIVE_INFINITY ? this : new Volumes(this.client.within(lease), this.#known);
  }

  /**
   * Treats it as silent until it has answered and settled: it may still have in hand what an earlier process sent.
   * @param options.untilFenced until nothing that was sent before can begin any more
   */
  distrust(volume: string, { untilFenced = false } = {}): void {
    this.client.health.silent(volume, untilFenced ? nowMs() : undefined);
  }

  /** Why nothing may be removed there now, as it is told; undefined if it may. */
  whyUnsettled(volume: string): string | undefined {
    return whyUnsettled(this.client, volume);
  }

  /** From now on nothing is written to one that comes back before somebody has asked who it is. */
  watch(): void {
    this.client.health.watch();
  }

  /** Whether it may have values of an earlier time: others are read first. */
  setPutBack(place: string, isPutBack: boolean): void {
    this.client.health.setPutBack(place, isPutBack);
  }

  /** Whether it gives a sign of life and has settled, which is waited for, for at most `patienceMs`. */
  async wake(volume: string): Promise<boolean> {
    return (await this.isWorthAsking(volume)) && (await this.#known.probes.wake(this.client, volume));
  }

  /** Whether it is worth a question of somebody who asks for one key after the other: not if it is silent. */
  isWorthAsking(volume: string): true | Promise<boolean> {
    return this.#known.probes.isWorthAsking(this.client, volume);
  }

  /**
   * The first `wanted` volumes of this order that can be written to; if fewer than `atLeast` are found, also full ones
   * and those that take long to give a sign of life.
   */
  async choose(ranked: readonly string[], { wanted, atLeast }: { wanted: number; atLeast: number }): Promise<string[]> {
    const { health } = this;
    const { probes } = this.#known;
    const willing = ranked.filter((volume) => health.isWritable(volume));
    const found = await probes.firstAwake(this.client, willing, { wanted });
    if (found.length < atLeast) {
      const others = ranked.filter((volume) => !willing.includes(volume) && !health.isForeign(volume));
      const patient = {
        wanted: atLeast - found.length,
        timeoutMs: Math.max(this.settings.voltimeoutMs, limits.patienceMs),
      };
      found.push(...(await probes.firstAwake(this.client, others, patient)));
    }
    return ranked.filter((volume) => found.includes(volume));
  }

  /** Asks every server for a sign of life. */
  async probeAll(): Promise<void> {
    const servers = new Set(this.topology.volumes.map(serverOf));
    await Promise.all([...servers].map((server) => this.#known.probes.ask(this.client, server)));
  }

  /** What the volume says of a file; undefined if it has none. Throws MkvError where it cannot tell. */
  head(volume: string, path: string): Promise<FileInfo | undefined> {
    return headValue(this.client, volume, path);
  }

  /** Opens a value, or a part of it, for reading. Throws MkvError absent, volume-failed, timeout, unavailable; so do its chunks. */
  open(volume: string, path: string, range?: ByteRange): Promise<OpenFile> {
    return openValue(this.client, volume, path, { firstByteMs: this.settings.stalltimeoutMs, range });
  }

  /** Whether the volume has the file of this very path, of so many bytes: at once if it has just said so. Throws as `head`. */
  holds(volume: string, path: string, leastBytes: 0 | 1 = 1): true | Promise<boolean> {
    return this.#known.seenFiles.ask(this.client, volume, path, leastBytes);
  }

  /** Begins a PUT of a value whose length may be known; `sync` as in the settings if nothing else is said. */
  upload(
    volume: string,
    path: string,
    { bytes, date, sync = this.settings.sync }: { bytes: number | undefined; date: string; sync?: boolean },
  ): Upload {
    return new Upload(this.client, volume, path, { bytes, date, sync });
  }

  /**
   * Removes a file, for good under `sync`; that it was not there is as good, if the disk is the one it was.
   * @throws MkvError if not confirmed
   */
  remove(volume: string, path: string): Promise<void> {
    return remove(this.client, volume, path);
  }

  /** Moves a file on one disk, over what is there, for good if `sync` says so; false if there is none. Throws MkvError likewise. */
  move(volume: string, how: { from: string; to: string; sync: boolean }): Promise<boolean> {
    return moveFile(this.client, volume, how);
  }

  /**
   * Removes a file from these volumes at once, and returns those that did not confirm. One that is down and does not wake
   * at once is not asked, nor one that has not settled after `waitMs`: what it still holds could bring the file back.
   * @param how.beside by volume, another copy: a longer file of its date stays, since that copy is cut off then
   */
  async removeAll(volumes: readonly string[], path: string, how: RemoveOptions): Promise<Unconfirmed[]> {
    const { probes } = this.#known;
    const results = await Promise.all(
      volumes.map((volume) => removeFrom(this.client, probes, { volume, path, ...how })),
    );
    return results.filter((result) => result !== undefined);
  }

  /** Waits until a file, or its absence, is on the disk. Throws MkvError volume-failed, timeout, unavailable. */
  sync(volume: string, path: string, options: { expected: "there" | "gone" }): Promise<void> {
    return syncValue(this.client, volume, path, options.expected);
  }

  /** Whether its server is known to have a sync service: one that cannot tell is none to rely on. */
  canSync(volume: string): Promise<boolean> {
    return this.hasSync(volume).catch(() => false);
  }

  /** Whether its server has a sync service; remembered for `syncKnownMs`. Throws MkvError if it cannot tell. */
  hasSync(volume: string): Promise<boolean> {
    const { syncs } = this.#known;
    const server = serverOf(volume);
    const known = syncs.get(server);
    if (known && known.untilMs > nowMs()) return known.answer;
    const ask = async () => {
      if (!(await this.#known.probes.isAwake(this.client, server))) throw new MkvError("timeout", `${server} is down`);
      return await hasService(this.client, server);
    };
    const answer = ask();
    syncs.set(server, { untilMs: nowMs() + limits.syncKnownMs, answer });
    answer.catch(() => syncs.delete(server)); // Every caller awaits the answer itself.
    return answer;
  }

  /** What a volume thinks of this user: `unprotected` if it lets anybody in. Throws MkvError where it cannot tell. */
  async checkUser(volume: string): Promise<"good" | "wrong" | "unprotected"> {
    const server = serverOf(volume);
    const client = this.client.unsigned();
    const [stranger, user] = await Promise.all([
      client.as(undefined).ask(server, "/", "HEAD"),
      client.ask(server, "/", "HEAD"),
    ]);
    if (stranger.status === 200 || (this.settings.link && stranger.status === 403)) return "unprotected";
    if (stranger.status !== 401) throw unexpected(volume, stranger.status);
    if (user.status === 401) return "wrong";
    if (user.status === 200) return "good";
    throw unexpected(volume, user.status);
  }

  /** Who a volume or disk says it is; undefined if it has no id. Throws MkvError unavailable if it does not answer. */
  idOf(volume: string): Promise<string | undefined> {
    return idOf(this.client, volume);
  }

  /** What makes the URL of a file a link that its volume serves to anybody; undefined without a link key. */
  linkTo(volume: string, path: string): string | undefined {
    return this.settings.link && this.client.user.signer.link(serverOf(volume), belowServer(volume) + path);
  }

  /** Lists a folder, in nginx's order: see listing.ts. */
  list(volume: string, folder: string): AsyncGenerator<readonly Listed[]> {
    return list(this.client, volume, folder);
  }
}
