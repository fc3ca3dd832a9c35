// Owns the way of a value to the volumes where its key belongs, under a claim that owes what is written: to all of them at
// once. A volume that falls out is replaced by the next in placement order, with a copy from one that finished.
import { nowMs } from "../clock";
import { MkvError } from "../errors";
import { pathOf } from "../format/path";
import { sameVolumes, volumesOf, without } from "../format/volume";
import { type Attributes, type Claim, type Entry } from "../ledger/ledger";
import { type Upload } from "../volumes/upload";
import { copy } from "./copy";
import { barredFrom } from "./debts";
import { writtenUnder } from "./hints";
import { type Replicated, replicate } from "./replicate";
import { type Store } from "./store";

/** A value on its way in. */
export type Incoming = {
  /** Not touched before the key is known to be free. Throws MkvError client-gone, client-slow. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Its length, where it is announced. */
  readonly bytes: number | undefined;
  /** The MD5 that it must have, lower-case hex, where that is announced. */
  readonly md5: string | undefined;
  /** Whether it may be empty; the record must have an MD5 then. */
  readonly mayBeEmpty?: true;
  /** What is kept of it beside its record, when all of it has come; it is shown length and date of its files. */
  readonly attributes?: (file: Stored) => Attributes;
  /** Aborted if the request turns out to be none after its body has ended; undefined where that cannot be. */
  readonly withdrawn?: AbortSignal | undefined;
};

/** The files of a value: their length and HTTP date. */
export type Stored = { readonly bytes: number; readonly date: string };

/** A value on its volumes, in the order of its key. */
export type Transferred = Stored & { readonly volumes: readonly string[]; readonly md5: string | undefined };

/** A value that is to be written. */
export type Write = {
  readonly value: Incoming;
  /** All volumes in placement order. */
  readonly ranked: readonly string[];
  /** Those that the claim owes already. */
  readonly likely: readonly string[];
  /** The key as it was before it was claimed. */
  readonly before: Entry;
};

/** How it comes to its volumes. */
type Way = Write & {
  /** Where the files go, on each volume. */
  readonly path: string;
  /** The entry with these volumes about to be written to. */
  readonly owing: (entry: Entry, volumes: readonly string[]) => Entry;
  /** Throws MkvError if one of these volumes will not do. */
  readonly require?: (volumes: readonly string[]) => void;
  /** Whether the files are brought to the disk wherever that can be done, and not only under `-sync`. */
  readonly durable?: true;
};

export class Transfer {
  /** The volumes in placement order, without those that may still carry out an earlier request for this key. */
  readonly #ranked: readonly string[];
  #uploads: Upload[] = [];
  /** Volumes that were given a copy, or may have been. */
  #copied: string[] = [];

  constructor(
    readonly store: Store,
    readonly claim: Claim,
    readonly way: Way,
  ) {
    this.#ranked = without(way.ranked, barredFrom(claim, way.before.owed));
  }

  /** Throws MkvError unavailable (too few volumes), what the value throws or is refused for. */
  async run(): Promise<Transferred> {
    const { store, claim, way } = this;
    const { value } = way;
    const { topology, minreplicas } = store;
    const targets = await store.volumes.choose(this.#ranked, { wanted: topology.replicas, atLeast: minreplicas });
    this.#require(targets.length, "can be written to");
    way.require?.(targets);
    if (!sameVolumes(targets, way.likely)) await claim.put(way.owing(claim.entry, targets));
    const date = await store.dates.next(claim.key, await this.#dateBefore());
    const { stored, bytes, md5 } = await this.#receive(targets, date);
    const good = await this.#replaceFailed(volumesOf(stored), { bytes, md5 });
    this.#require(good.length, "took the value");
    const home = way.ranked.slice(0, topology.replicas);
    if (!sameVolumes(good, home)) await store.hints.add(claim.key, writtenUnder(topology));
    if (nowMs() > claim.untilMs) throw new MkvError("unavailable", "not written: it took longer than the key was ours");
    if (value.withdrawn?.aborted) throw new MkvError("client-gone", "not written: the client broke off its request");
    return { volumes: good, bytes, md5, date };
  }

  /** The volumes of these uploads, and those that were given a copy. */
  written(isMeant: (upload: Upload) => boolean = () => true): string[] {
    return [...volumesOf(this.#uploads.filter(isMeant)), ...this.#copied];
  }

  async #receive(targets: readonly string[], date: string): Promise<Replicated> {
    const { store, way } = this;
    const { value } = way;
    const syncs = await Promise.all(targets.map((volume) => this.#syncOf(volume)));
    const upload = (volume: string, i: number) =>
      store.volumes.upload(volume, way.path, { bytes: value.bytes, date, ...syncs[i] });
    this.#uploads = targets.map(upload);
    const spares = this.#ranked.length - targets.length;
    try {
      return await replicate(value.chunks, this.#uploads, {
        atLeast: Math.max(1, store.minreplicas - spares),
        md5: store.md5sum || value.md5 !== undefined,
        approve: (body) => check(value, body),
      });
    } catch (error) {
      if (!(error instanceof MkvError) || (error.code !== "volume-failed" && error.code !== "timeout")) throw error;
      throw new MkvError("unavailable", `not written: ${error.message}`, { cause: error });
    }
  }

  /**
   * Copies the value to the next volumes in placement order until it has its replicas, as far as there are any. A volume
   * whose copy turns out to be none, as a source, does not count: its answer was a lie.
   */
  async #replaceFailed(
    stored: readonly string[],
    expected: { bytes: number; md5: string | undefined },
  ): Promise<string[]> {
    const { claim, way } = this;
    const { volumes, topology } = this.store;
    let good = [...stored];
    const spares = without(this.#ranked, volumesOf(this.#uploads));
    for (let spare = spares.shift(); spare && good.length < topology.replicas; spare = spares.shift()) {
      if (!volumes.health.isWritable(spare) || !(await volumes.wake(spare))) continue;
      await claim.put(way.owing(claim.entry, [spare]));
      this.#copied.push(spare);
      for (const from of good) {
        try {
          await copy(volumes, way.path, { from, to: [spare], expected, ...(await this.#syncOf(spare)) });
          good.push(spare);
          break;
        } catch (error) {
          if (!(error instanceof MkvError)) throw error;
          if (error.code === "corrupt" || error.code === "absent") good = without(good, [from]);
        }
      }
    }
    return this.#ranked.filter((volume) => good.includes(volume));
  }

  /** The latest date of the copies of the value whose place is taken, of those that can be asked. */
  async #dateBefore(): Promise<string | undefined> {
    const { store, claim, way } = this;
    const path = pathOf(claim.key);
    const holders = way.before.record?.volumes.filter((volume) => store.volumes.health.isUp(volume)) ?? [];
    const files = await Promise.all(
      holders.map((volume) => store.volumes.head(volume, path).catch(() => undefined)), // One that does not say is left out.
    );
    const dates = files.flatMap((file) => (file ? [file.modified] : []));
    return dates.sort((a, b) => Date.parse(b) - Date.parse(a))[0];
  }

  async #syncOf(volume: string): Promise<{ sync?: true }> {
    const isDurable = this.way.durable && (await this.store.volumes.canSync(volume));
    return isDurable ? { sync: true } : {};
  }

  #require(count: number, did: string): void {
    const { minreplicas, topology } = this.store;
    if (count >= minreplicas) return;
    const all = topology.volumes.length;
    const late = all - this.#ranked.length;
    const why = late > 0 ? `; ${late} may still carry out an earlier request for this key: try again` : "";
    throw new MkvError(
      "unavailable",
      `not written: ${count} of ${all} volumes ${did}, ${minreplicas} are needed${why}`,
    );
  }
}

function check(value: Incoming, { bytes, md5 }: { bytes: number; md5: string | undefined }): void {
  if (bytes === 0 && !value.mayBeEmpty) throw new MkvError("empty", "a value has at least one byte");
  if (value.bytes !== undefined && bytes !== value.bytes) {
    throw new MkvError("client-gone", `the client sent ${bytes} of ${value.bytes} bytes`);
  }
  if (value.md5 !== undefined && md5 !== value.md5) {
    throw new MkvError("bad-request", `the value has MD5 ${md5}, not the announced ${value.md5}`);
  }
}
