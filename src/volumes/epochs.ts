// Owns the notes on the volumes of how far a store has come: `/mkv/epoch` below each of them. If all that lies on the master's
// disk is put back, nothing there tells that it is older; the volumes do.
import { nowMs } from "../clock";
import { MkvError } from "../errors";
import { type Epoch, encodeEpoch, epochBytes, readEpoch } from "../format/epoch";
import { limits } from "../limits";
import { warn } from "../log";
import { AccessRefused } from "./client";
import { readSmall, writeSmall } from "./small-file";
import { type Volumes } from "./volumes";

const path = "/mkv/epoch";

/** What the volumes that answer say of how far their store has come; undefined if all of them are silent, or there is none. */
export async function seenEpochs(volumes: Volumes): Promise<Epoch[] | undefined> {
  const answers = await Promise.allSettled(known(volumes).map((volume) => ask(volumes, volume)));
  if (answers.every((answer) => answer.status === "rejected" && isSilence(answer.reason))) return undefined;
  return answers.flatMap((answer) => (answer.status === "fulfilled" ? (answer.value ?? []) : []));
}

function isSilence(error: unknown): boolean {
  return error instanceof MkvError && error.code === "timeout";
}

/**
 * What all volumes say, each asked again for as long as it is silent.
 * @throws MkvError volume-failed, timeout: one does not say
 */
export async function allEpochs(volumes: Volumes): Promise<Epoch[]> {
  const untilMs = nowMs() + limits.confirmMs;
  const askOn = async (volume: string): Promise<Epoch | undefined> => {
    for (;;) {
      try {
        return await ask(volumes, volume);
      } catch (error) {
        if (!isSilence(error) || nowMs() > untilMs) throw error;
      }
    }
  };
  const answers = await Promise.all(volumes.topology.volumes.map(askOn));
  return answers.filter((epoch) => epoch !== undefined);
}

/** The notes that a process keeps up. */
export class Epochs {
  /** Volumes of which it was said that they take none. */
  readonly #told = new Set<string>();

  constructor(readonly volumes: Volumes) {}

  /** Has the volumes that answer note how far the store has come. */
  async note(epoch: Epoch): Promise<void> {
    await Promise.all(known(this.volumes).map((volume) => this.#noteOn(volume, epoch)));
  }

  async #noteOn(volume: string, epoch: Epoch): Promise<void> {
    const { client } = this.volumes;
    try {
      const found = await ask(this.volumes, volume);
      if (found?.store === epoch.store && found.count >= epoch.count) return;
      await writeSmall(client, volume, path, encodeEpoch(epoch));
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      const isUsual = !this.volumes.health.isUp(volume) || error instanceof AccessRefused;
      if (isUsual || this.#told.has(volume)) return; // It is asked again.
      this.#told.add(volume);
      warn(
        `${volume} does not note how far the store has come (${error.message}): ` +
          "that the master's disk was put back would not be noticed; an old volume script knows nothing of it",
      );
    }
  }
}

/** Those that have answered, and are the store's as far as is known. */
function known(volumes: Volumes): string[] {
  const { topology, client } = volumes;
  return topology.volumes.filter((volume) => client.health.isKnown(volume) && !client.health.isForeign(volume));
}

/** Undefined if nothing is noted, or nothing that makes sense, or it is told to nobody. Throws MkvError if the volume is silent. */
async function ask({ client }: Volumes, volume: string): Promise<Epoch | undefined> {
  try {
    return readEpoch(await readSmall(client, volume, path, epochBytes));
  } catch (error) {
    if (error instanceof AccessRefused || (error instanceof MkvError && error.code === "absent")) return undefined;
    throw error;
  }
}
