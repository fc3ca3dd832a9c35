// Owns the notes on the volumes of how far a store has come: `/mkv/epoch` below each of them. If all that lies on the master's
// disk is put back, nothing there tells that it is older; the volumes do.
import { MkvError } from "../errors";
import { type Epoch, encodeEpoch, epochBytes, readEpoch } from "../format/epoch";
import { warn } from "../log";
import { AccessRefused } from "./client";
import { readSmall, writeSmall } from "./small-file";
import { type Volumes } from "./volumes";

const path = "/mkv/epoch";

/** What the volumes that answer say of how far their store has come. */
export async function seenEpochs(volumes: Volumes): Promise<Epoch[]> {
  const asked = await Promise.allSettled(known(volumes).map((volume) => ask(volumes, volume)));
  return asked.flatMap((answer) => (answer.status === "fulfilled" && answer.value ? [answer.value] : []));
}

/** The notes that a process keeps up. */
export class Epochs {
  /** Volumes of which it was said that they take none. */
  readonly #told = new Set<string>();

  /**
   * @param volumes of which those that are foreign are left as they are
   * @param options.isOlder whether the ledger lacks what they have seen: what it knows is no news to them, and another master
   * may be at work that knows more
   */
  constructor(
    readonly volumes: Volumes,
    readonly options: { readonly isOlder: boolean },
  ) {}

  /** Has the volumes that answer note how far the store has come. Returns what one has noted that is further. */
  async note(epoch: Epoch): Promise<Epoch | undefined> {
    const { volumes } = this;
    const own = known(volumes).filter((volume) => !volumes.health.isForeign(volume));
    const further = await Promise.all(own.map((volume) => this.#noteOn(volume, epoch)));
    return further.find((found) => found !== undefined);
  }

  async #noteOn(volume: string, epoch: Epoch): Promise<Epoch | undefined> {
    const { client } = this.volumes;
    try {
      const found = await ask(this.volumes, volume);
      if (found?.store === epoch.store && found.count >= epoch.count)
        return found.count > epoch.count ? found : undefined;
      if (!this.options.isOlder) await writeSmall(client, volume, path, encodeEpoch(epoch));
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      const isUsual = !this.volumes.health.isUp(volume) || error instanceof AccessRefused;
      if (isUsual || this.#told.has(volume)) return undefined; // It is asked again.
      this.#told.add(volume);
      warn(
        `${volume} does not note how far the store has come (${error.message}): ` +
          "that the master's disk was put back would not be noticed; an old volume script knows nothing of it",
      );
    }
    return undefined;
  }
}

function known({ topology, client }: Volumes): string[] {
  return topology.volumes.filter((volume) => client.health.isKnown(volume));
}

/** Undefined if nothing is noted, or nothing that makes sense. Throws MkvError if the volume does not say. */
async function ask({ client }: Volumes, volume: string): Promise<Epoch | undefined> {
  try {
    return readEpoch(await readSmall(client, volume, path, epochBytes));
  } catch (error) {
    if (error instanceof MkvError && error.code === "absent") return undefined;
    throw error;
  }
}
