// Owns walks over all keys in the background, which go on where they were after a restart.
//   "walk " name -> Note                    in the ledger's memory, until the walk has come to its end
// 1. What is written down once in a while is how far all keys have been looked at.
// 2. Of several processes one walks: while its note changes, the others leave the walk to it. Should two walk at once, the
//    later note counts: everything is looked at twice by that, and nothing is left out.
import { nowMs } from "../../clock";
import { type Key, keyAfter } from "../../format/key";
import { type Ledger, type RawEntry } from "../../ledger/ledger";
import { limits } from "../../limits";
import { shaped } from "../../shape";
import { again, inBackground } from "../maintain";
import { pause, whileLoaded } from "../pace";

/** How far a walk is: keys, out of so many where they were counted; and for how long it has gone on, by all processes. */
export type Progress = { readonly done: number; readonly total: number; readonly spentMs: number };

/** What a walk is for. */
export type Walk = {
  readonly name: string;
  /** Whether the keys are counted before. */
  readonly counts?: boolean;
  /** What `look` counts. It goes on from where it was, as the walk does. */
  readonly tally?: Record<string, number>;
  /** Whether a key with this record, as it is written down, is looked at; every one, if nothing is said. */
  concerns?(record: string): boolean;
  /** How long the next few keys wait, and whether they may be looked at at all. */
  waitMs?(progress: Progress): number;
  mayGoOn?(): boolean;
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
 * @returns how far all processes have come with it, at its end; undefined if it was stopped, may not go on, or another one walks
 * @throws MkvError if the ledger fails, or whatever `look` throws
 */
export async function walkOn(ledger: Ledger, walk: Walk, stop: AbortSignal): Promise<Progress | undefined> {
  const name = `walk ${walk.name}`;
  const begun = await begin(ledger, walk, stop);
  if (!begun) return undefined;
  const { memory } = ledger;
  let note = begun;
  let isOurs = true;
  const beganMs = nowMs() - note.spentMs;
  const { tally } = walk;
  if (tally) Object.assign(tally, note.tally);
  const passed = (key: Key, count: number) => (note = { ...note, after: key.toHex(), done: note.done + count });

  /** Writes down how far it is, unless another process walks by now. */
  async function writeDown(by: string): Promise<boolean> {
    if (((await memory.get(name)) as Note | undefined)?.by !== self) return false;
    const spentMs = nowMs() - beganMs;
    note = { ...note, by, beat: note.beat + 1, spentMs, ...(tally && { tally: { ...tally } }) };
    await memory.put(name, note);
    return true;
  }

  /** Waits until so many more keys may be looked at. Returns whether it goes on. */
  async function waits(count: number): Promise<boolean> {
    for (;;) {
      await whileLoaded(stop);
      const hasGrown = walk.counts && note.done + count > note.total;
      if (hasGrown) note = { ...note, total: note.done + (await countKeys(ledger, note, stop)) };
      if (stop.aborted || !isOurs || walk.mayGoOn?.() === false) return false;
      const progress = { done: note.done + count, total: note.total, spentMs: nowMs() - beganMs };
      const waitMs = count === 0 ? 0 : (walk.waitMs?.(progress) ?? 0);
      if (waitMs <= 0) return true;
      await pause(Math.min(waitMs, limits.walkNoteMs), stop);
    }
  }

  async function lookAtAll(page: readonly RawEntry[]): Promise<boolean> {
    const concerned = walk.concerns ? page.filter(([, record]) => walk.concerns!(record)) : page;
    for (let at = 0; at < concerned.length; at += limits.healsAtOnce) {
      const some = concerned.slice(at, at + limits.healsAtOnce);
      if (!(await waits(some.length))) return false;
      await Promise.all(some.map((entry) => walk.look(entry))).catch((error) => {
        if (!stop.aborted) throw error;
      });
      if (stop.aborted) return false; // What was looked at may have been cut short.
      passed(some.at(-1)![0], some.length);
    }
    passed(page.at(-1)![0], page.length - concerned.length);
    return await waits(0);
  }

  async function lookAtRest(): Promise<boolean> {
    await using _beats = inBackground((ended) =>
      again(ended, limits.walkNoteMs, async () => void (isOurs = await writeDown(self))),
    );
    for (let page = await pageOf(ledger, note); page.length > 0; page = await pageOf(ledger, note))
      if (!(await lookAtAll(page))) return false;
    return true;
  }

  if (!(await lookAtRest())) {
    await writeDown(""); // The rest is left to whoever walks on.
    return undefined;
  }
  await memory.delete(name);
  return { done: note.done, total: note.total, spentMs: nowMs() - beganMs };
}

/** The note as it is from now on; undefined if it was stopped, or another process walks. */
async function begin(ledger: Ledger, walk: Walk, stop: AbortSignal): Promise<Note | undefined> {
  const { memory } = ledger;
  const name = `walk ${walk.name}`;
  const readNote = async () =>
    shaped<Note>(await memory.get(name), {
      ...{ by: "", beat: 0, after: "", done: 0, total: 0, spentMs: 0 },
      "tally?": { "*": 0 },
    });
  const found = await readNote(); // One that is damaged begins anew.
  if (found && found.by !== "" && found.by !== self) {
    await pause(limits.walkTurnMs, stop);
    const later = await readNote();
    if (later?.by !== found.by || later.beat !== found.beat) return undefined;
  }
  const fresh = { beat: 0, after: "", done: 0, spentMs: 0 };
  const note = found ?? { ...fresh, total: walk.counts ? await countKeys(ledger, fresh, stop) : 0 };
  if (stop.aborted) return undefined; // The count may not be all.
  const mine = { ...note, by: self, beat: note.beat + 1 };
  await memory.put(name, mine);
  return mine;
}

/** How many keys there are behind the last one that was looked at. */
async function countKeys(ledger: Ledger, { after }: Pick<Note, "after">, stop: AbortSignal): Promise<number> {
  let count = 0;
  for await (const page of ledger.scan({ start: startAfter(after) })) {
    count += page.length;
    if (stop.aborted) break;
    await whileLoaded(stop);
  }
  return count;
}

function startAfter(after: string) {
  return after === "" ? undefined : keyAfter(Buffer.from(after, "hex"));
}

async function pageOf(ledger: Ledger, { after }: Note): Promise<readonly RawEntry[]> {
  for await (const page of ledger.scan({ start: startAfter(after) }, { atOnce: limits.batchRecords })) return page; // None stays open.
  return [];
}
