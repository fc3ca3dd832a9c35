// Owns walks over all keys in the background, which go on where they were after a restart.
//   "walk " name -> Note                    in the ledger's memory, until the walk has come to its end
// 1. What is written down once in a while is how far all keys have been looked at.
// 2. Of several processes one walks: a note of another that changes is left to that one. Should two walk at once, the later
//    note counts: everything is looked at twice by that, and nothing is left out.
import { nowMs } from "../clock";
import { type Key } from "../format/key";
import { type Ledger, type RawEntry } from "../ledger/ledger";
import { limits } from "../limits";
import { pause, whileLoaded } from "./pace";

/** How far a walk is: keys, out of so many where they were counted; and for how long it has gone on, by all processes. */
export type Progress = { readonly done: number; readonly total: number; readonly spentMs: number };

/** What a walk is for. */
export type Walk = {
  readonly name: string;
  /** Whether the keys are counted before. */
  readonly counts: boolean;
  /** What `look` counts. It goes on from where it was, as the walk does. */
  readonly tally?: Record<string, number>;
  /** Whether a key with this record, as it is written down, is looked at. */
  concerns(record: string): boolean;
  /** How long the next few keys wait, and whether they may be looked at at all. */
  waitMs(progress: Progress): number;
  mayGoOn(): boolean;
  /** Looks at a key. What it throws ends the walk for this time. */
  look(entry: RawEntry): Promise<void>;
};

type Note = Progress & {
  /** The process that walks; none if that has ended well. */
  readonly by: string;
  /** Counts the notes. */
  readonly beat: number;
  /** The last key that was looked at, in hex. */
  readonly after: string;
  readonly tally?: Readonly<Record<string, number>>;
};

/** This process, among others. */
const self = crypto.randomUUID();

/**
 * Walks on.
 * @returns `later` if it was stopped, may not go on, or another process walks
 * @throws MkvError if the ledger fails, or whatever `look` throws
 */
export async function walkOn(ledger: Ledger, walk: Walk, stop: AbortSignal): Promise<"done" | "later"> {
  const name = `walk ${walk.name}`;
  const begun = await begin(ledger, { name, counts: walk.counts, stop });
  return begun ? await new Walking(ledger, walk, { name, note: begun, stop }).run() : "later";
}

/** The note as it is from now on; undefined if it was stopped, or another process walks. */
async function begin(
  ledger: Ledger,
  { name, counts, stop }: { name: string; counts: boolean; stop: AbortSignal },
): Promise<Note | undefined> {
  const { memory } = ledger;
  const found = (await memory.get(name)) as Note | undefined;
  if (found && found.by !== "" && found.by !== self) {
    await pause(limits.walkTurnMs, stop);
    const later = (await memory.get(name)) as Note | undefined;
    if (later?.by !== found.by || later.beat !== found.beat) return undefined;
  }
  const fresh = { beat: 0, after: "", done: 0, spentMs: 0 };
  const note = found ?? { ...fresh, total: counts ? await countKeys(ledger, stop) : 0 };
  if (stop.aborted) return undefined; // The count may not be all.
  const mine = { ...note, by: self, beat: note.beat + 1 };
  await memory.put(name, mine);
  return mine;
}

async function countKeys(ledger: Ledger, stop: AbortSignal): Promise<number> {
  let count = 0;
  for await (const page of ledger.scan({})) {
    count += page.length;
    if (stop.aborted) break;
    await whileLoaded(stop);
  }
  return count;
}

class Walking {
  readonly #ledger: Ledger;
  readonly #walk: Walk;
  readonly #name: string;
  readonly #stop: AbortSignal;
  readonly #beganMs: number;
  #note: Note;
  #notedMs = nowMs();

  constructor(ledger: Ledger, walk: Walk, { name, note, stop }: { name: string; note: Note; stop: AbortSignal }) {
    this.#ledger = ledger;
    this.#walk = walk;
    this.#name = name;
    this.#note = note;
    this.#stop = stop;
    if (walk.tally) Object.assign(walk.tally, note.tally);
    this.#beganMs = nowMs() - note.spentMs;
  }

  async run(): Promise<"done" | "later"> {
    for (let page = await this.#page(); page.length > 0; page = await this.#page()) {
      const concerned = page.filter(([, record]) => this.#walk.concerns(record));
      for (let at = 0; at < concerned.length; at += limits.healsAtOnce) {
        const some = concerned.slice(at, at + limits.healsAtOnce);
        if (!(await this.#waits(some.length))) return await this.#leave();
        const looks = Promise.all(some.map((entry) => this.#walk.look(entry)));
        await looks.catch((error) => {
          if (!this.#stop.aborted) throw error;
        });
        if (this.#stop.aborted) return await this.#leave(); // What was looked at may have been cut short.
        this.#passes(some.at(-1)![0], some.length);
      }
      this.#passes(page.at(-1)![0], page.length - concerned.length);
      if (!(await this.#waits(0))) return await this.#leave();
    }
    await this.#ledger.memory.delete(this.#name);
    return "done";
  }

  async #page(): Promise<readonly RawEntry[]> {
    const { after } = this.#note;
    const start = after === "" ? undefined : Buffer.concat([Buffer.from(after, "hex"), Buffer.alloc(1)]);
    for await (const page of this.#ledger.scan({ start }, { atOnce: limits.batchRecords })) return page; // None stays open.
    return [];
  }

  #passes(key: Key, count: number): void {
    this.#note = { ...this.#note, after: key.toHex(), done: this.#note.done + count };
  }

  /** Waits until so many more keys may be looked at, and writes down how far it is. Returns whether it goes on. */
  async #waits(count: number): Promise<boolean> {
    for (;;) {
      await whileLoaded(this.#stop);
      if (this.#stop.aborted || !this.#walk.mayGoOn()) return false;
      if (nowMs() > this.#notedMs + limits.walkNoteMs && !(await this.#writeDown({ by: self }))) return false;
      const { done, total } = this.#note;
      const waitMs =
        count === 0 ? 0 : this.#walk.waitMs({ done: done + count, total, spentMs: nowMs() - this.#beganMs });
      if (waitMs <= 0) return true;
      await pause(Math.min(waitMs, limits.walkNoteMs), this.#stop);
    }
  }

  /** Writes down how far it is, unless another process walks by now. */
  async #writeDown(change: Pick<Note, "by">): Promise<boolean> {
    const { memory } = this.#ledger;
    if (((await memory.get(this.#name)) as Note | undefined)?.by !== self) return false;
    const { tally } = this.#walk;
    const counted = tally && { tally: { ...tally } };
    const spentMs = nowMs() - this.#beganMs;
    this.#note = { ...this.#note, ...change, ...counted, beat: this.#note.beat + 1, spentMs };
    await memory.put(this.#name, this.#note);
    this.#notedMs = nowMs();
    return true;
  }

  /** Leaves the rest to whoever walks on. */
  async #leave(): Promise<"later"> {
    await this.#writeDown({ by: "" });
    return "later";
  }
}
