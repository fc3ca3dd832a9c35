// Owns the notes on the volumes, and on each of their disks, of how far a store has come: `/mkv/epoch` below them. If all that
// lies on the master's disk is put back, nothing there tells that it is older; the volumes do. And a disk that says less than it
// had noted was put back itself; unless it says what it had never said before: a note of another process that came late.
import { nowMs } from "../clock";
import { withDeadline } from "../deadline";
import { MkvError, hasCode } from "../errors";
import { type Epoch, encodeEpoch, epochBytes, readEpoch } from "../format/epoch";
import { disksOf, valuePlaces } from "../format/placement";
import { serverOf, volumesOf } from "../format/volume";
import { limits } from "../limits";
import { warn } from "../log";
import { Turns, TurnsOfEach } from "../turns";
import { syncFile } from "./change";
import { AccessRefused } from "./client";
import { readSmall, writeSmall } from "./small-file";
import { type Volumes } from "./volumes";

const path = "/mkv/epoch";

/** What the volumes that answer say of how far their store has come; undefined if all of them are silent, or there is none. */
export async function seenEpochs(volumes: Volumes): Promise<Epoch[] | undefined> {
  const answers = await Promise.allSettled(known(volumes).map((volume) => ask(volumes, volume)));
  if (answers.every((answer) => answer.status === "rejected" && hasCode(answer.reason, "timeout"))) return undefined;
  return answers.flatMap((answer) => (answer.status === "fulfilled" ? (answer.value ?? []) : []));
}

/**
 * What all volumes say, each asked again for as long as it is silent.
 * @throws MkvError volume-failed, timeout: one does not say
 */
export async function allEpochs(volumes: Volumes): Promise<Epoch[]> {
  return (await askAll(volumes)).map(({ epoch }) => epoch);
}

/**
 * Makes sure that all volumes say that they are of one store, where nothing else tells.
 * @throws MkvError failed: they are not; volume-failed, timeout: one does not say
 */
export async function requireOneStore(volumes: Volumes): Promise<void> {
  const stores = Map.groupBy(await askAll(volumes), ({ epoch }) => epoch.store);
  if (stores.size < 2) return;
  const groups = [...stores.values()].map((said) => volumesOf(said).join(", ")).join(" and ");
  const advice =
    "leave those of the other one out of -volumes; if all are of one, remove mkv/epoch on those that were added last";
  throw new MkvError("failed", `${groups} are of different stores (by mkv/epoch on them): ${advice}`);
}

type Said = { readonly volume: string; readonly epoch: Epoch };

async function askAll(volumes: Volumes): Promise<Said[]> {
  const untilMs = nowMs() + limits.confirmMs;
  const askOn = async (volume: string) => {
    for (;;) {
      try {
        return { volume, epoch: await ask(volumes, volume) };
      } catch (error) {
        if (!hasCode(error, "timeout") || nowMs() > untilMs) throw error;
      }
    }
  };
  const said = await Promise.all(volumes.topology.volumes.map(askOn));
  return said.filter((each): each is Said => each.epoch !== undefined);
}

/** The counts that a place had noted last, and before that. */
export type Noted = { readonly last: number; readonly before: number };

/** What is remembered of the notes. */
export type NotedMemory = {
  /** What places had noted of this store, by their names. */
  counts(store: string): Promise<Map<string, Noted>>;
  keep(store: string, counts: ReadonlyMap<string, Noted>): Promise<void>;
  /** Remembers of a place that it says less than it had noted: before it notes more. */
  putEarlier(place: string): Promise<void>;
};

/** The notes that a process keeps up. */
export class Epochs {
  readonly #turns = new TurnsOfEach(limits.placesAtOnce);
  /** One note ends before the next: late, it would go over that. */
  readonly #noting = new Turns(1);
  /** Places that were warned of: they take no notes, or have those of another store. */
  readonly #told = new Set<string>();
  /** What places say that were put back, each remembered once: a verify that has begun since proves them right. */
  readonly #earlier = new Map<string, number>();

  /**
   * @param renamed places by the names that they had
   * @param stop from then on no place is asked any more
   */
  constructor(
    readonly volumes: Volumes,
    readonly memory: NotedMemory,
    readonly renamed: ReadonlyMap<string, string>,
    readonly stop?: AbortSignal,
  ) {}

  /** Looks which places of the volumes that answer say less than they had noted. */
  async lookAtKnown(): Promise<void> {
    await Promise.allSettled(this.#looks(known(this.volumes))); // Whoever does not say is asked again before it notes more.
  }

  /**
   * Looks which places say less than they had noted.
   * @throws MkvError volume-failed, timeout: one does not say
   */
  async look(): Promise<void> {
    await Promise.all(this.#looks(this.volumes.topology.volumes));
  }

  #looks(volumes: readonly string[]): Promise<void>[] {
    const places = volumes.flatMap((volume) => valuePlaces(this.volumes.topology, volume));
    const countsOf = new Map<string, Promise<Map<string, Noted>>>();
    return places.map(async (place) => {
      using _turn = await this.#turns.enter(serverOf(place));
      const found = this.stop?.aborted ? undefined : await ask(this.volumes, place);
      if (!found) return;
      let counts = countsOf.get(found.store);
      if (!counts) countsOf.set(found.store, (counts = this.#counts(found.store)));
      const had = (await counts).get(place);
      // Another master may have had it note more since it was asked: now it says so.
      const now = wasPutBack(found.count, had) ? await ask(this.volumes, place) : undefined;
      if (now?.store === found.store) await this.#judge(place, now.count, had);
    });
  }

  /** Remembers a place that says less than it had noted, if that is news. */
  async #judge(place: string, count: number, had: Noted | undefined): Promise<void> {
    if (!wasPutBack(count, had) || this.#earlier.get(place) === count) return;
    await this.memory.putEarlier(place);
    this.#earlier.set(place, count);
  }

  /** Has the volumes that answer, and their disks, note how far the store has come; at first the volumes alone. */
  async note(epoch: Epoch, which: "volumes" | "all"): Promise<void> {
    using _turn = await this.#noting.enter();
    const { topology, client } = this.volumes;
    const counts = await this.#counts(epoch.store);
    const noteOnAll = async (volume: string) => {
      const disks = disksOf(topology, volume).filter((disk) => !client.health.isForeign(disk));
      const ofVolume = disks.length === 0 ? counts : new Map<string, Noted>(); // Counts are kept of where values lie.
      const isTaken = await this.#noteOn(volume, epoch, ofVolume);
      if (isTaken && which === "all") await Promise.all(disks.map((disk) => this.#noteOn(disk, epoch, counts)));
    };
    await Promise.all(known(this.volumes).map(noteOnAll));
    await this.memory.keep(epoch.store, counts);
  }

  /** What places had noted, by the names that they have now. */
  async #counts(store: string): Promise<Map<string, Noted>> {
    const counts = await this.memory.counts(store);
    for (const [name, now] of this.renamed) {
      const [had, other] = [counts.get(name), counts.get(now)];
      if (had && had.last > (other?.last ?? 0)) counts.set(now, had);
      counts.delete(name);
    }
    return counts;
  }

  /** Returns whether it has taken a note. */
  async #noteOn(place: string, epoch: Epoch, counts: Map<string, Noted>): Promise<boolean> {
    using _turn = await this.#turns.enter(serverOf(place));
    if (this.stop?.aborted) return false;
    try {
      const text = await readNote(this.volumes, place);
      const found = text === undefined ? undefined : readEpoch(text);
      const count = found?.store === epoch.store ? found.count : undefined;
      const had = counts.get(place);
      if (text !== undefined && !found) await this.#judge(place, 0, had); // A loss of power has left it empty.
      if (found && count === undefined && had)
        this.#tell(
          place,
          "has notes of another store where this one had its own: unless it was adopted just now, end the master of that one",
        );
      if (count !== undefined) await this.#judge(place, count, had);
      const isNews = count === undefined || count < epoch.count;
      if (isNews && !this.volumes.health.isWritable(place)) return false; // It has come back, maybe as another store's.
      if (isNews && !(await this.#write(place, epoch))) return false;
      if (isNews) this.#earlier.delete(place);
      const last = isNews ? epoch.count : count;
      if (last !== had?.last) counts.set(place, { last, before: isNews ? Math.max(count ?? 0, had?.last ?? 0) : last });
      return true;
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      const isUsual = !this.volumes.health.isUp(place) || error.code === "timeout" || error instanceof AccessRefused;
      if (isUsual) return false; // It is asked again.
      this.#tell(
        place,
        `does not note how far the store has come (${error.message}): that the master's disk, or this one, was put back ` +
          "would not be noticed; an old volume script knows nothing of it",
      );
      return false;
    }
  }

  /** Writes a note. Returns whether it is as safe as values are: with `-sync` a power cut takes neither. */
  async #write(place: string, epoch: Epoch): Promise<boolean> {
    const { client } = this.volumes;
    await writeSmall(client, place, path, encodeEpoch(epoch));
    if (!client.settings.sync) return true;
    const slow = () => new MkvError("timeout", `${place} has not synced its note in time`);
    try {
      await withDeadline(limits.confirmMs, syncFile(client, place, path, "there"), slow);
      return true;
    } catch (error) {
      if (error instanceof MkvError) return false; // No value is stored there either, which tells why.
      throw error;
    }
  }

  #tell(place: string, what: string): void {
    if (!this.#told.has(place)) warn(`${place} ${what}`);
    this.#told.add(place);
  }
}

/** Whether a place says what it had noted once, and not what came late: between the last two. */
function wasPutBack(count: number, had: Noted | undefined): boolean {
  return had !== undefined && count < had.last && count <= had.before;
}

/** Those that have answered, and are the store's as far as is known. */
function known(volumes: Volumes): string[] {
  const { topology, client } = volumes;
  return topology.volumes.filter((volume) => client.health.isKnown(volume) && !client.health.isForeign(volume));
}

/** Undefined if nothing is noted, or nothing that makes sense, or it is told to nobody. Throws MkvError if the volume is silent. */
async function ask(volumes: Volumes, volume: string): Promise<Epoch | undefined> {
  const text = await readNote(volumes, volume);
  return text === undefined ? undefined : readEpoch(text);
}

async function readNote({ client }: Volumes, volume: string): Promise<string | undefined> {
  try {
    return await readSmall(client, volume, path, { mostBytes: epochBytes });
  } catch (error) {
    if (error instanceof AccessRefused || hasCode(error, "absent")) return undefined;
    throw error;
  }
}
