// Owns the comparison of a ledger with what its volumes have noted of how far the store has come. A ledger that says less than
// they do is a copy that was put back, which nobody may go on with; a disk that says less than it did is read last until it was
// verified.
import { type Epoch } from "../../format/epoch";
import { placesOf } from "../../format/placement";
import { type Memory, type NoteEpoch } from "../../ledger/ledger";
import { limits } from "../../limits";
import { warn } from "../../log";
import { Epochs, seenEpochs } from "../../volumes/epochs";
import { putBackIn } from "../../volumes/report";
import { type Volumes } from "../../volumes/volumes";
import { putBackWarning } from "../../volumes/warnings";
import { notedIn, putBackPlaces } from "./put-back";

/** How far the volumes that answer soon say that their store has come; undefined if none of them does. */
export async function epochsSoon(volumes: Volumes): Promise<Epoch[] | undefined> {
  volumes.watch(); // Nothing is written to them before `keepEpochs` has compared what they say.
  await firstLook(volumes);
  return await seenEpochs(volumes);
}

/** Waits until the volumes have answered, for a while. */
export async function firstLook(volumes: Volumes): Promise<void> {
  await Promise.race([volumes.probeAll(), Bun.sleep(limits.firstLookMs)]);
}

/** The comparison, and the notes, of a process. */
type KeptEpochs = {
  /** Returns false while volumes answer, and none says how far the store has come. Has places read last that were put back. */
  compare(): Promise<boolean>;
  /**
   * Compares, has the volumes note how far it has come, and says which of them were put back; at first the volumes alone: so
   * many disks take their time.
   */
  note(which?: "volumes" | "all"): Promise<void>;
};

/**
 * Compares a ledger with what volumes say, and has them note how far it has come.
 * @param options.renamed places by the names that they had; it is followed
 * @param options.noteEpoch of the ledger; nothing is asked or noted without it. It ends the process of an older one
 * @param options.stop from then on no place is asked any more
 * @param options.takeTurn one process notes at a time: what a place says never goes back by that
 */
export function keepEpochs(
  volumes: Volumes,
  options: {
    memory: Memory;
    takeTurn: (what: "notes") => Promise<AsyncDisposable>;
    noteEpoch: NoteEpoch | undefined;
    renamed: ReadonlyMap<string, string>;
    stop?: AbortSignal;
  },
): KeptEpochs {
  const { memory, takeTurn, noteEpoch, renamed, stop } = options;
  const { topology, health } = volumes;
  const epochs = new Epochs(volumes, notedIn(memory), renamed, stop);
  let told: ReadonlySet<string> = new Set();

  async function ask(note?: (epoch: Epoch) => Promise<void>): Promise<boolean> {
    if (!noteEpoch) return true;
    const seen = await seenEpochs(volumes);
    if (seen) await noteEpoch(seen, note);
    return seen !== undefined || !topology.volumes.some((volume) => health.isKnown(volume));
  }

  /** Has places read last that were put back, also those that another process has seen, and says so once. */
  async function tellPutBack(): Promise<void> {
    const found = await putBackPlaces(memory, "all");
    const places = new Set([...found].map((place) => renamed.get(place) ?? place));
    for (const place of topology.volumes.flatMap((volume) => placesOf(topology, volume)))
      volumes.setPutBack(place, places.has(place));
    const putBack = putBackIn(volumes);
    const untold = putBack.filter((name) => !told.has(name));
    if (untold.length > 0) warn(putBackWarning(untold));
    told = new Set(putBack);
  }

  return {
    async compare() {
      if (noteEpoch) await tellPutBack(); // Before a place is used again that another process has adopted.
      return await ask();
    },
    async note(which = "all") {
      if (!noteEpoch) return;
      if (which === "volumes") await tellPutBack(); // What is remembered holds at once, however long the others take.
      await ask(async (epoch) => {
        await using _turn = await takeTurn("notes");
        await epochs.note(epoch, which);
      });
      if (which === "volumes") await epochs.lookAtKnown();
      await tellPutBack();
    },
  };
}
