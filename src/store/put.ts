// Owns the commit of a write.
// 1. The journal owes the volumes, the index holds the unfinished record. A crash from here on shows nothing; the next
//    start takes back what reached a volume.
// 2. The body goes to all volumes at once. A volume that falls out is replaced by the next in placement order, with a
//    copy from one that finished.
// 3. The final record is written: the commit. After a crash the value is live.
// 4. What the key has elsewhere is removed; what cannot be reached stays owed.
import { withDeadline } from "../deadline";
import { MkvError, reasonOf } from "../errors";
import { type Key } from "../format/key";
import { pathOf } from "../format/path";
import { rank } from "../format/placement";
import { type ValueRecord, encodeRecord } from "../format/record";
import { limits } from "../limits";
import { Upload } from "../volumes/upload";
import { type VolumeAccess, isAwake, isReady } from "../volumes/volume";
import { copy } from "./copy";
import { isUnfinished, owe, reduce, removeFrom, settle, union, without } from "./debts";
import { type Replicated, replicate } from "./replicate";
import { type Store } from "./store";

/** A value on its way in. */
export type Incoming = {
  readonly body: ReadableStream<Uint8Array>;
  /** Its length, where it is announced. */
  readonly bytes: number | undefined;
  /** The MD5 that it must have, lower-case hex, where that is announced. */
  readonly md5: string | undefined;
};

/**
 * Stores a value on its replicas and makes it live. The body is not touched before the key is known to be free.
 * @throws MkvError forbidden (exists), busy, empty, bad-request (wrong MD5), unavailable (too few volumes), client-gone,
 * client-slow, failed (the index); nothing is stored then
 */
export async function put(store: Store, key: Key, value: Incoming): Promise<void> {
  using _lock = store.locks.take(key);
  const before = await store.index.get(key);
  if (before?.state === "live")
    throw new MkvError("forbidden", "the key exists, and values never change: DELETE it first");
  if (value.bytes === 0) throw new MkvError("empty", "a value has at least one byte");
  const isLeftOver = before !== undefined && isUnfinished(store, key, before);
  await new Write(store, key, isLeftOver ? undefined : before).run(value);
}

class Write {
  readonly #path: string;
  readonly #ranked: readonly string[];
  readonly #owedBefore: readonly string[];
  #uploads: Upload[] = [];
  #spares: string[] = [];

  constructor(
    readonly store: Store,
    readonly key: Key,
    readonly before: ValueRecord | undefined,
  ) {
    this.#path = pathOf(key);
    this.#ranked = rank(key, store.topology);
    this.#owedBefore = store.journal.debtOf(key)?.volumes ?? [];
  }

  async run(value: Incoming): Promise<void> {
    const targets = await this.#awake();
    this.#demand(targets.length, "answer");
    await this.#begin(targets);
    try {
      const { stored, bytes, md5 } = await this.#receive(value, targets);
      const holders = await this.#replaceFailed(
        stored.map((upload) => upload.volume),
        { bytes, md5 },
      );
      this.#demand(holders.length, "took the value");
      const volumes = this.#ranked.filter((volume) => holders.includes(volume));
      await this.store.index.put(this.key, { state: "live", md5: this.store.md5sum ? md5 : undefined, volumes });
    } catch (error) {
      await this.#rollBack();
      throw error;
    }
    await settle(this.store, this.key);
  }

  /** The first volumes in placement order that can be written to; full or down ones only where too few are left. */
  async #awake(): Promise<string[]> {
    const { volumes: access, topology, minreplicas } = this.store;
    const willing = this.#ranked.filter((volume) => access.health.isWritable(volume));
    const found = await this.#firstAwake(willing, access, topology.replicas);
    if (found.length < minreplicas) {
      const patient = { ...access, voltimeoutMs: Math.max(access.voltimeoutMs, limits.patienceMs) };
      found.push(...(await this.#firstAwake(without(this.#ranked, willing), patient, minreplicas - found.length)));
    }
    return this.#ranked.filter((volume) => found.includes(volume));
  }

  async #firstAwake(candidates: readonly string[], access: VolumeAccess, wanted: number): Promise<string[]> {
    const found: string[] = [];
    for (let at = 0; at < candidates.length && found.length < wanted;) {
      const asked = candidates.slice(at, at + wanted - found.length);
      const ready = await Promise.all(asked.map((volume) => isReady(access, volume)));
      found.push(...asked.filter((_, i) => ready[i]));
      at += asked.length;
    }
    return found;
  }

  /**
   * Owes these volumes and marks the key as unfinished. Over an unlinked key the mark is as good a record of what is
   * unlinked, and stays. Otherwise it is to be forgotten: its volumes are in reverse, as in no record that was committed,
   * so that it cannot be taken for that of a key which was written and unlinked since.
   */
  async #begin(volumes: readonly string[]): Promise<void> {
    const { before } = this;
    const all = before ? union(volumes, before.volumes) : volumes.toReversed();
    const mark: ValueRecord = { state: "unlinked", md5: undefined, volumes: all };
    await owe(this.store, { key: this.key, volumes: all, marks: before ? [] : [encodeRecord(mark)] });
    await this.store.index.put(this.key, mark);
  }

  async #receive(value: Incoming, targets: readonly string[]): Promise<Replicated> {
    const { bytes } = value;
    const date = new Date().toUTCString();
    const { store } = this;
    this.#uploads = targets.map((volume) => new Upload(store.volumes, volume, this.#path, { bytes, date }));
    const spares = this.#ranked.length - targets.length;
    try {
      return await replicate(chunksOf(value.body, store.clienttimeoutMs), this.#uploads, {
        atLeast: Math.max(1, store.minreplicas - spares),
        md5: store.md5sum || value.md5 !== undefined,
        approve: (body) => check(value, body),
      });
    } catch (error) {
      if (!(error instanceof MkvError) || (error.code !== "volume-failed" && error.code !== "timeout")) throw error;
      throw new MkvError("unavailable", `not written: ${error.message}`, { cause: error });
    }
  }

  /** Copies the value to the next volumes in placement order until it has its replicas, as far as there are any. */
  async #replaceFailed(
    stored: string[],
    { bytes, md5 }: { bytes: number; md5: string | undefined },
  ): Promise<string[]> {
    const holders = [...stored];
    const tried = this.#uploads.map((upload) => upload.volume);
    for (const spare of without(this.#ranked, tried)) {
      if (holders.length >= this.store.topology.replicas) break;
      const { health } = this.store.volumes;
      if (!health.isWritable(spare) || !(await isAwake(this.store.volumes, spare))) continue;
      tried.push(spare);
      this.#spares.push(spare);
      await this.#begin(tried);
      try {
        await copy(this.store.volumes, this.#path, { from: holders[0]!, to: [spare], expected: { bytes, md5 } });
        holders.push(spare);
      } catch (error) {
        if (!(error instanceof MkvError)) throw error;
        holders.push(holders.shift()!); // Whichever of the two failed: another source, another target.
      }
    }
    return holders;
  }

  /** Undoes what has been done: the record as it was, no file of this write on any volume that can be reached. */
  async #rollBack(): Promise<void> {
    const { store, key, before } = this;
    const reached = this.#uploads.filter(({ sent }) => sent === "all" || (sent === "some" && !before));
    const volumes = union(
      reached.map((upload) => upload.volume),
      this.#spares,
    );
    if (!before) {
      await store.journal.owe({ ...store.journal.debtOf(key)!, volumes: union(volumes, this.#owedBefore) });
      return await settle(store, key);
    }
    const left = await removeFrom(store, key, volumes);
    const mixed = {
      ...before,
      md5: undefined,
      volumes: union(
        before.volumes,
        left.map(({ volume }) => volume),
      ),
    };
    await store.index.put(key, volumes.length === 0 ? before : mixed);
    await reduce(store, key, this.#owedBefore);
  }

  #demand(count: number, did: string): void {
    const { minreplicas, topology } = this.store;
    if (count >= minreplicas) return;
    const text = `not written: ${count} of ${topology.volumes.length} volumes ${did}, ${minreplicas} are needed`;
    throw new MkvError("unavailable", text);
  }
}

/** The body chunk by chunk, as long as the client sends more than a trickle. */
async function* chunksOf(body: ReadableStream<Uint8Array>, stalltimeoutMs: number): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  const slow = () => new MkvError("client-slow", `the client has sent next to nothing for ${stalltimeoutMs} ms`);
  let untilMs = performance.now() + stalltimeoutMs;
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await withDeadline(untilMs - performance.now(), reader.read(), slow);
      if (done) return;
      yield value;
      bytes += value.length;
      if (bytes < limits.tricklingBytes) continue;
      untilMs = performance.now() + stalltimeoutMs;
      bytes = 0;
    }
  } catch (error) {
    if (error instanceof MkvError) throw error;
    throw new MkvError("client-gone", `the client went away: ${reasonOf(error)}`, { cause: error });
  } finally {
    reader.releaseLock();
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
