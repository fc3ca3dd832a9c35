// Owns the commit of a write.
// 1. The claim: the journal owes the volumes that the value will go to. A crash from here on shows nothing; the next start
//    removes what reached a volume. Over an unlinked key the record forgets its hash first: its files are about to change.
// 2. The body goes to all volumes at once. A volume that falls out is replaced by the next in placement order, with a
//    copy from one that finished.
// 3. If they are not the key's own, a hint says so. The record names the volumes whose copies are good: the commit. After a crash the value is live.
// 4. What the key has elsewhere is removed; what cannot be reached stays owed. A write that failed ends the same way.
import { nowMs } from "../clock";
import { MkvError } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { rank, sameVolumes } from "../format/placement";
import { type ValueRecord } from "../format/record";
import { type Claim, type Entry } from "../ledger/ledger";
import { limits } from "../limits";
import { type Upload } from "../volumes/upload";
import { cleanUp, landed, owe } from "./care";
import { copy } from "./copy";
import { writtenUnder } from "./hints";
import { type Replicated, replicate } from "./replicate";
import { type Store } from "./store";
import { union, without } from "./volume-lists";

/** A value on its way in. */
export type Incoming = {
  /** Not touched before the key is known to be free. Throws MkvError client-gone, client-slow. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Its length, where it is announced. */
  readonly bytes: number | undefined;
  /** The MD5 that it must have, lower-case hex, where that is announced. */
  readonly md5: string | undefined;
  /** Aborted if the request turns out to be none after its body has ended; undefined where that cannot be. */
  readonly withdrawn?: AbortSignal | undefined;
};

/**
 * Stores a value on its replicas and makes it live.
 * @throws MkvError forbidden (exists), busy, empty, bad-request (wrong MD5), unavailable (too few volumes), client-gone,
 * client-slow, failed (the index); nothing is stored then
 */
export async function put(store: Store, key: Key, value: Incoming): Promise<void> {
  const ranked = rank(key, store.topology);
  const { volumes, topology } = store;
  const likely = ranked.filter((volume) => volumes.isWritable(volume)).slice(0, topology.replicas);
  if (store.ledger.isBehind && !(await store.ledger.get(key))) await requireAbsent(store, key, ranked);
  let before: Entry = { record: undefined, owed: [] };
  const isShort = value.bytes !== undefined && value.bytes <= limits.shortBytes;
  const begin = (entry: Entry) => {
    before = entry;
    if (entry.record?.state === "live")
      throw new MkvError("forbidden", "the key exists, and values never change: DELETE it first");
    if (value.bytes === 0) throw new MkvError("empty", "a value has at least one byte");
    return inFlight(entry, likely);
  };
  await using claim = await store.ledger.claim(key, begin, { expect: "nothing", sends: isShort ? "short" : "streams" });
  const held = { ...store, volumes: volumes.within(claim) };
  await new Write(held, claim, { ranked, before }).run(value, likely);
}

/**
 * A ledger that lacks what was acknowledged may not know a key that is there.
 * @throws MkvError unavailable if a volume has a file of this key that nobody owes
 */
async function requireAbsent({ volumes, ledger }: Store, key: Key, ranked: readonly string[]): Promise<void> {
  const path = pathOf(key);
  const owed = (await ledger.owedBy(key)).map(({ volume }) => volume);
  const asked = without(ranked, owed).filter((volume) => volumes.isUp(volume) && !volumes.isForeign(volume));
  const files = await Promise.all(asked.map((volume) => volumes.head(volume, path).catch(() => undefined)));
  const holder = asked[files.findIndex((file) => file !== undefined)];
  if (!holder) return;
  const text = `${holder} has a value of this key, and the index is older than the volumes`;
  throw new MkvError("unavailable", `${text}: stop the master and run rebuild`);
}

/** The entry with these volumes about to be written to. */
function inFlight({ record, owed }: Entry, volumes: readonly string[]): Entry {
  const isHashed = record?.md5 !== undefined;
  return {
    record: isHashed ? { ...record, md5: undefined } : record,
    owed: owe(owed, volumes, { kind: "in-flight", forMs: limits.fenceOverMs }),
  };
}

class Write {
  readonly #path: string;
  /** The volumes where the key belongs. */
  readonly #home: readonly string[];
  /** The volumes in placement order, without those that may still carry out an earlier request for this key. */
  readonly #ranked: readonly string[];
  readonly #before: Entry;
  #uploads: Upload[] = [];
  /** Volumes that were given a copy, or may have been. */
  #copied: string[] = [];

  constructor(
    readonly store: Store,
    readonly claim: Claim,
    { ranked, before }: { ranked: readonly string[]; before: Entry },
  ) {
    const now = nowMs();
    const pending = before.owed.filter(({ kind, untilMs }) => kind !== "stray" && untilMs > now);
    this.#path = pathOf(claim.key);
    this.#home = ranked.slice(0, store.topology.replicas);
    this.#ranked = without(
      without(ranked, claim.barred),
      pending.map(({ volume }) => volume),
    );
    this.#before = before;
  }

  async run(value: Incoming, likely: readonly string[]): Promise<void> {
    const { store, claim } = this;
    try {
      const { topology, minreplicas } = store;
      const targets = await store.volumes.choose(this.#ranked, { wanted: topology.replicas, atLeast: minreplicas });
      this.#require(targets.length, "answer");
      if (!sameVolumes(targets, likely)) await claim.put(inFlight(claim.entry, targets));
      const { stored, bytes, md5 } = await this.#receive(value, targets);
      const good = await this.#replaceFailed(
        stored.map(({ volume }) => volume),
        { bytes, md5 },
      );
      this.#require(good.length, "took the value");
      if (!sameVolumes(good, this.#home)) await store.hints.add(claim.key, writtenUnder(topology));
      if (nowMs() > claim.untilMs)
        throw new MkvError("unavailable", "not written: it took longer than the key was ours");
      if (value.withdrawn?.aborted) throw new MkvError("client-gone", "not written: the client broke off its request");
      await this.#commit(good, md5);
    } catch (error) {
      await this.#rollBack();
      throw error;
    }
    if (claim.entry.owed.length > 0) await cleanUp(store, claim);
  }

  async #receive(value: Incoming, targets: readonly string[]): Promise<Replicated> {
    const { store } = this;
    const upload = { bytes: value.bytes, date: await store.dates.next(this.claim.key) };
    this.#uploads = targets.map((volume) => store.volumes.upload(volume, this.#path, upload));
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
    const { volumes, topology } = this.store;
    let good = [...stored];
    const spares = without(
      this.#ranked,
      this.#uploads.map(({ volume }) => volume),
    );
    for (let spare = spares.shift(); spare && good.length < topology.replicas; spare = spares.shift()) {
      if (!volumes.isWritable(spare) || !(await volumes.wake(spare))) continue;
      await this.claim.put(inFlight(this.claim.entry, [spare]));
      this.#copied.push(spare);
      for (const from of good) {
        try {
          await copy(volumes, this.#path, { from, to: [spare], expected });
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

  /** Whatever else the key has goes then: copies that failed, and those of an unlinked value. */
  async #commit(volumes: readonly string[], md5: string | undefined): Promise<void> {
    const { claim, store } = this;
    const record: ValueRecord = { state: "live", md5: store.md5sum ? md5 : undefined, volumes };
    const others = claim.entry.owed.filter(({ volume }) => !volumes.includes(volume));
    const rest = landed(store, others, this.#written());
    const strays = rest.filter(({ kind }) => kind === "stray").map(({ volume }) => volume); // Of the value before.
    const old = without(union(this.#before.record?.volumes ?? [], strays), volumes);
    const owed = old.length > 0 ? owe(rest, old, { kind: "left-over" }) : rest;
    if (owed.length === 0) await claim.end({ record, owed });
    else await claim.put({ record, owed });
  }

  /** Undoes what has been done: record and debts as they were, no file of this write on any volume that can be reached. */
  async #rollBack(): Promise<void> {
    const { claim, store } = this;
    const { record: before, owed: earlier } = this.#before;
    const volumes = this.#written(({ sent }) => sent === "all" || (sent === "some" && !before));
    const isUntouched = !before?.volumes.some((volume) => volumes.includes(volume));
    const owed = claim.entry.owed.flatMap((debt) => {
      if (debt.kind !== "in-flight" || volumes.includes(debt.volume)) return [debt];
      return earlier.filter(({ volume }) => volume === debt.volume);
    });
    await claim.put({ record: isUntouched ? before : claim.entry.record, owed: landed(store, owed, volumes) });
    await cleanUp(store, claim);
  }

  /** The volumes of these uploads, and those that were given a copy. */
  #written(isMeant: (upload: Upload) => boolean = () => true): string[] {
    return [...this.#uploads.filter(isMeant).map(({ volume }) => volume), ...this.#copied];
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
  if (bytes === 0) throw new MkvError("empty", "a value has at least one byte");
  if (value.bytes !== undefined && bytes !== value.bytes) {
    throw new MkvError("client-gone", `the client sent ${bytes} of ${value.bytes} bytes`);
  }
  if (value.md5 !== undefined && md5 !== value.md5) {
    throw new MkvError("bad-request", `the value has MD5 ${md5}, not the announced ${value.md5}`);
  }
}
