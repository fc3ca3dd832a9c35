// Owns who the volumes and their disks are: each carries an id, which is remembered, so that an empty folder in place of a
// disk, another disk, or two names of one server are seen for what they are.
//   remembered   there        what follows
//   an id        the same     it is fine
//   an id        none, other  it is foreign: not written to, and what it lacks does not count as absent
//   null         none         it is given an id: the store began before there were any
//   null         an id        that is remembered
//   never        an id        that is remembered, if it is empty or has had another name
//   never        none         it is given an id if it is empty
//   never        otherwise    it may be another store's: foreign, until somebody says that it belongs here
// 1. A volume that does not answer, refuses access or answers nonsense is neither fine nor foreign: nothing changes.
// 2. All disks of a foreign volume are foreign.
// 3. Ids are written one at a time, and asked for just before: a server with two names is given one id.
// 4. Before the first one is, null is remembered of all: after a crash meanwhile nothing of the store's counts as new.
import { nowMs } from "../clock";
import { withDeadline } from "../deadline";
import { MkvError } from "../errors";
import { type Topology, placesOf } from "../format/placement";
import { isConfigured, ownerOf, serverOf } from "../format/volume";
import { limits } from "../limits";
import { type Level, log } from "../log";
import { Turns, TurnsOfEach } from "../turns";
import { type SeenId, askId, writeId } from "./id-file";
import { isEmpty } from "./listing";
import { SeenIds, type Twins } from "./seen-ids";
import { type Volumes } from "./volumes";
import { foreignWarning, sameIdWarning, strangerWarning } from "./warnings";

/**
 * What is remembered of ids, by name as in `-volumes` or records: null if it has had none that was seen, undefined if
 * it was never heard of.
 */
export type IdentityMemory = {
  get(name: string): string | null | undefined;
  put(name: string, id: string): Promise<void>;
  /** Remembers of names that they have had no id: it is written down when this resolves. */
  begin(names: readonly string[]): Promise<void>;
  names(): string[];
};

/** The watch over the ids. One thread keeps it for all. */
export class Identity {
  readonly #turns = new TurnsOfEach(limits.placesAtOnce);
  readonly #writing = new Turns(1);
  /** What was said last of a name. */
  readonly #said = new Map<string, string>();
  /** What takes no id. */
  readonly #without = new Set<string>();

  /**
   * @param how.gives whether places are given ids that have none: who only looks writes nothing there
   * @param how.stop from then on no place is asked any more
   */
  constructor(
    readonly volumes: Volumes,
    readonly memory: IdentityMemory,
    readonly how: { readonly gives?: "ids" | "nothing" | undefined; readonly stop?: AbortSignal } = {},
  ) {
    volumes.client.health.watch();
  }

  /** Asks all volumes and disks who they are, acts on it, and returns what only the operator can mend. */
  async check(): Promise<Twins[]> {
    const { topology } = this.volumes;
    if (!this.memory.names().some((name) => typeof this.memory.get(name) === "string"))
      await this.memory.begin(topology.volumes.flatMap((volume) => placesOf(topology, volume)));
    const names = this.memory.names().filter((name) => isConfigured(topology, name));
    const seen = new SeenIds(names.map((name) => [name, this.memory.get(name)]));
    const { health } = this.volumes.client;
    const { returns } = health;
    const servers = Map.groupBy(topology.volumes, serverOf);
    const checkServer = async (server: string, volumes: readonly string[]) => {
      await Promise.all(volumes.map((volume) => this.#checkVolume(volume, seen)));
      if (!this.how.stop?.aborted) health.met(server, returns); // At once: others may be silent for long.
    };
    await Promise.all([...servers].map(([server, volumes]) => checkServer(server, volumes)));
    const twins = seen.twins((name) => ownerOf(topology, name));
    const ownIds = (pair: Twins) =>
      new Set(pair.map((name) => this.memory.get(name)).filter((id) => typeof id === "string"));
    return twins.filter((pair) => ownIds(pair).size < 2); // Else one of them is foreign, and not used.
  }

  async #checkVolume(volume: string, seen: SeenIds): Promise<void> {
    const own = await this.#see(volume);
    const isForeign = await this.#judge(volume, own, seen);
    if (isForeign || own.kind === "unknown" || own.kind === "nonsense" || this.#without.has(volume)) return;
    const [, ...disks] = placesOnceOf(this.volumes.topology, volume, this.memory.names());
    await Promise.all(disks.map(async (disk) => this.#judge(disk, await this.#see(disk), seen)));
  }

  async #see(name: string): Promise<SeenId> {
    const { client } = this.volumes;
    let asked: Promise<SeenId>;
    {
      using _turn = await this.#turns.enter(serverOf(name));
      if (this.how.stop?.aborted || !client.health.isKnown(name)) return { kind: "unknown" };
      asked = askId(client, name);
      await Promise.race([asked, Bun.sleep(limits.hedgeMs)]); // One that hangs holds up the next for no longer: all may hang.
    }
    return await asked;
  }

  /** Acts on what was seen of a name. Returns whether it is known to be foreign. */
  async #judge(name: string, found: SeenId, seen: SeenIds): Promise<boolean> {
    if (found.kind === "unknown") return false;
    if (found.kind === "nonsense") {
      this.#say(name, `has something else than an id at /mkv/id: to give it one, run "mkv adopt ${name}"`);
      return false;
    }
    const known = this.memory.get(name);
    seen.add(name, found);
    if (typeof known === "string") return this.#compare(name, known, found);
    if (known === undefined && (await this.#isStrange(name, found))) return true;
    if (found.kind === "none" && this.how.gives !== "nothing") await this.#give(name, seen);
    else if (found.kind === "id") await this.#remember(name, found, seen);
    return false;
  }

  /** Whether what is new to the store may have values of another one: what is written there could replace them. */
  async #isStrange(name: string, found: SeenId): Promise<boolean> {
    const hasId = (other: string) => found.kind === "id" && this.memory.get(other) === found.id;
    if (this.memory.names().some(hasId)) return false; // It has had another name.
    const { client } = this.volumes;
    const { voltimeoutMs } = client.settings; // A listing may take longer, and would hold up the watch over all volumes.
    const slow = () => new MkvError("timeout", `it has not been listed for ${voltimeoutMs} ms`);
    const why = await withDeadline(voltimeoutMs, isEmpty(client, name), slow).then(
      (isFree) => (isFree ? undefined : strangerWarning(name)),
      (error: unknown) => {
        if (error instanceof MkvError) return `is new, and not used before it can be listed: ${error.message}`;
        throw error;
      },
    );
    client.health.setForeign(name, why !== undefined);
    if (why !== undefined) this.#say(name, why);
    return why !== undefined;
  }

  /** Remembers an id, unless it is another's: a second name of a place is not written to. */
  async #remember(name: string, found: SeenId & { kind: "id" }, seen: SeenIds): Promise<void> {
    seen.add(name, found);
    const isTwin = seen.isAnothers(found.id, name);
    this.volumes.client.health.setForeign(name, isTwin);
    if (isTwin) return;
    this.volumes.client.health.setId(name, found.id);
    await this.memory.put(name, found.id);
  }

  #compare(name: string, known: string, found: SeenId): boolean {
    const isForeign = found.kind !== "id" || found.id !== known;
    this.volumes.client.health.setId(name, known);
    const isNews = this.volumes.client.health.setForeign(name, isForeign);
    if (isForeign) this.#say(name, this.#warningOf(name, found));
    else if (isNews) this.#say(name, "is back: it is the disk it was again", "info");
    else this.#said.delete(name);
    return isForeign;
  }

  #warningOf(name: string, found: SeenId): string {
    if (found.kind !== "id") return foreignWarning(name, "no id");
    const { topology } = this.volumes;
    const owner = this.memory
      .names()
      .find((other) => this.memory.get(other) === found.id && isConfigured(topology, other));
    return owner === undefined ? foreignWarning(name, "another id") : sameIdWarning(name, owner);
  }

  async #give(name: string, seen: SeenIds): Promise<void> {
    const { client } = this.volumes;
    if (this.#without.has(name)) return;
    try {
      using _turn = await this.#writing.enter();
      const before = await askId(client, name);
      const found = before.kind === "none" ? await writeId(client, name) : before;
      if (found.kind === "id") return await this.#remember(name, found, seen);
      if (found.kind !== "unknown") throw new MkvError("volume-failed", "what it was sent is not there");
    } catch (error) {
      if (!(error instanceof MkvError)) throw error;
      if (!this.volumes.health.isUp(name)) return; // The next check asks again.
      this.#without.add(name);
      this.#say(name, `takes no id (${error.message}): another disk in its place would not be noticed`);
    }
  }

  #say(name: string, what: string, level: Level = "warn"): void {
    if (this.#said.get(name) === what) return;
    this.#said.set(name, what);
    log(`${name} ${what}`, level);
  }
}

/**
 * Takes a disk, or a volume with all its disks, for what it is now: its id is remembered, a new one if it has none.
 * @param remember is told whether the place may have files already
 * @throws MkvError bad-request (not one of the volumes), unavailable (it does not answer), volume-failed (takes no id)
 */
export async function adopt(
  { client, topology }: Volumes,
  name: string,
  remember: (name: string, id: string, found: { hasFiles: boolean }) => Promise<void>,
): Promise<void> {
  const volume = ownerOf(topology, name);
  const places = placesOf(topology, volume);
  if (!topology.volumes.includes(volume) || !places.includes(name))
    throw new MkvError("bad-request", `${name} is not one of the volumes or their disks: see -volumes, -subvolumes`);
  for (const place of name === volume ? places : [name]) {
    let found = await askId(client, place);
    if (found.kind === "none" || found.kind === "nonsense") found = await writeId(client, place);
    if (found.kind === "unknown") throw new MkvError("unavailable", `${place} does not answer, or refuses access`);
    if (found.kind !== "id") throw new MkvError("volume-failed", `${place} takes no id: what it was sent is not there`);
    const hasFiles = !(await isEmpty(client, place).catch(() => false));
    await remember(place, found.id, { hasFiles });
    client.health.setId(place, found.id);
    client.health.setForeign(place, false);
  }
}

/**
 * Who all places of these volumes say they are, each asked again for as long as it is silent; undefined for one without an id,
 * empty for one that has something else there.
 * @param once names that were configured once
 * @throws MkvError volume-failed, timeout: one cannot be asked
 */
export async function seeAll(
  { client, topology }: Volumes,
  once: readonly string[],
): Promise<Map<string, string | undefined>> {
  const seen = new Map<string, string | undefined>();
  const turns = new TurnsOfEach(limits.placesAtOnce);
  const untilMs = nowMs() + limits.confirmMs;
  const see = async (name: string) => {
    using _turn = await turns.enter(serverOf(name));
    for (;;) {
      const found = await askId(client, name);
      if (found.kind === "id" || found.kind === "nonsense")
        return void seen.set(name, found.kind === "id" ? found.id : "");
      if (found.kind === "none") return void seen.set(name, undefined);
      if (found.why?.code !== "timeout" || nowMs() > untilMs) throw found.why;
    }
  };
  await Promise.all(topology.volumes.flatMap((volume) => placesOnceOf(topology, volume, once)).map(see));
  return seen;
}

/** A volume and its disks, with those that were configured once. */
function placesOnceOf(topology: Topology, volume: string, once: readonly string[]): string[] {
  const own = once.filter((name) => ownerOf(topology, name) === volume);
  return [...new Set([...placesOf(topology, volume), ...own])];
}
