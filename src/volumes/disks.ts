// Owns what is known of the disks of the volumes: what `mkv volume` says of them, asked for in the background. A volume of
// plain nginx says nothing. A disk that hangs is no sign that its server does not answer: the health is told nothing.
import { MkvError, reasonOf } from "../errors";
import { type Topology, subvolume } from "../format/placement";
import { belowServer, serverOf } from "../format/volume";
import { limits } from "../limits";
import { type Client } from "./client";
import { readSmall } from "./small-file";
import { type Volumes } from "./volumes";

/** The room on a disk. `device` is the same for folders of one file system of a volume. */
export type Space = {
  readonly device: number;
  readonly bytesTotal: number;
  readonly bytesFree: number;
  /** 0 where the file system has no bound of files. */
  readonly filesTotal: number;
  readonly filesFree: number;
  readonly isReadOnly?: boolean;
};

/** The room on a disk; or why it is not known, although it was asked; neither if its volume does not say. */
export type Room = { readonly space?: Space; readonly error?: string };

/** What a volume says of its disks, by their names: `sv03`, or nothing for the folder of the values. */
type Said = ReadonlyMap<string, Room>;

const path = "/mkv/disks";

/** The disks of all volumes, as they were when they were last asked. */
export class Disks {
  readonly #said = new Map<string, Said>();
  readonly #asking = new Set<string>();

  constructor(readonly volumes: Volumes) {}

  /** Asks the servers that are up and have answered the time before. What was known of one that does not answer goes. */
  async ask(): Promise<void> {
    const servers = new Set(this.volumes.topology.volumes.map(serverOf));
    await Promise.all([...servers].filter((server) => !this.#asking.has(server)).map((server) => this.#askOne(server)));
  }

  /** The room on a disk of a volume: one such as `sv03`, empty if the volume has no such folders. */
  of(volume: string, disk: string): Room {
    if (belowServer(volume) !== "") return {}; // What lies below it is not what its server speaks of.
    const said = this.#said.get(volume);
    return said?.get(disk) ?? said?.get("") ?? {}; // A folder that is not there yet will be made on the disk above it.
  }

  async #askOne(server: string): Promise<void> {
    this.#asking.add(server);
    try {
      const said = this.volumes.health.isUp(server) ? await askDisks(this.volumes.client, server) : undefined;
      if (said) this.#said.set(server, said);
      else this.#said.delete(server);
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      this.#said.delete(server); // It hangs, or says what is none: nothing is known of its disks.
    } finally {
      this.#asking.delete(server);
    }
  }
}

/** The names of the disks of a volume: one without a name, if it has no folders for them, or too many. */
export function diskNames({ subvolumes }: Topology): string[] {
  return subvolumes === 1 || subvolumes > limits.disksShown
    ? [""]
    : Array.from({ length: subvolumes }, (_, i) => subvolume(i));
}

/** What a server says of its disks. Throws MkvError if it does not answer, or says nothing of them. */
async function askDisks(client: Client, server: string): Promise<Said> {
  const { disksBytes: mostBytes, disksMs: timeoutMs } = limits;
  const text = await readSmall(client, server, path, { mostBytes, timeoutMs });
  try {
    return parse(Buffer.from(text, "latin1").toString());
  } catch (error) {
    throw new MkvError("volume-failed", reasonOf(error), { cause: error });
  }
}

/** Reads {"disks": [{"name", "device", ...} | {"name", "error"}]}; what is none of these is left out. */
function parse(text: string): Said {
  const said = new Map<string, Room>();
  const answer = JSON.parse(text) as { disks?: unknown };
  if (!Array.isArray(answer?.disks)) return said;
  for (const each of answer.disks as Partial<Space & { name: string; error: string }>[]) {
    if (typeof each?.name !== "string") continue;
    const { name, error, device, bytesTotal, bytesFree, filesTotal, filesFree, isReadOnly } = each;
    if (typeof error === "string") said.set(name, { error: error.slice(0, 200) });
    else if ([device, bytesTotal, bytesFree, filesTotal, filesFree].every((number) => Number.isFinite(number)))
      said.set(name, {
        space: { device, bytesTotal, bytesFree, filesTotal, filesFree, isReadOnly: isReadOnly === true } as Space,
      });
  }
  return said;
}
