// Owns who the volumes are as a process looks after them: at its start, when one comes back, and once in a while.
import { nowMs } from "../../clock";
import { MkvError } from "../../errors";
import { isConfigured, serverOf } from "../../format/volume";
import { type Memory, type NoteEpoch } from "../../ledger/ledger";
import { limits } from "../../limits";
import { warn } from "../../log";
import { Identity } from "../../volumes/identity";
import { type Volumes } from "../../volumes/volumes";
import { firstLook, keepEpochs } from "./epochs";
import { idsIn, renamedIn } from "./ids";

export type Watch = {
  /**
   * What is to be done again and again, none waiting for another: to ask for signs of life; to ask who has come back, before
   * anything is written there; to have places note how far the store has come.
   */
  readonly rounds: readonly (() => Promise<void>)[];
  /** From now on nothing more is asked: a round that runs ends soon, however many disks hang. */
  end(): void;
  /** Places by the names that they had, with those that they have now: both carry one id. It follows what is learnt. */
  readonly renamed: ReadonlyMap<string, string>;
};

/** What other threads have copied of `renamed` follows from now on what the one learns that watches. */
export function followRenamed(renamed: Map<string, string>): void {
  renamedChannel().onmessage = ({ data }) => {
    for (const [name, now] of data as typeof renamed) renamed.set(name, now);
  };
}

/** What is learnt of renamed places, which other threads are told. */
function renamedPlaces() {
  const renamed = new Map<string, string>();
  const others = renamedChannel();
  const learn = (news: ReadonlyMap<string, string>) => {
    for (const [name, now] of news) renamed.set(name, now);
    others.postMessage(renamed);
  };
  return { renamed, learn };
}

function renamedChannel(): BroadcastChannel {
  const channel = new BroadcastChannel("renamed places");
  channel.unref();
  return channel;
}

/**
 * Looks at the volumes that answer soon, before anything is written, and goes on looking after them.
 * @param options.takeTurn keeps other processes from giving ids, or from noting, meanwhile, where there are any
 * @param options.gives whether places are given ids that have none
 * @param options.noteEpoch of the ledger: has the volumes note how far it has come, and ends the process of an older one
 * @throws MkvError failed: two names are one place
 */
export async function watchPlaces(
  volumes: Volumes,
  memory: Memory,
  {
    takeTurn = async () => new AsyncDisposableStack(),
    noteEpoch,
    gives,
  }: {
    takeTurn?: ((what: "ids" | "notes") => Promise<AsyncDisposable>) | undefined;
    noteEpoch?: NoteEpoch | undefined;
    gives?: "ids" | "nothing";
  } = {},
): Promise<Watch> {
  const ids = idsIn(memory);
  const ending = new AbortController();
  const stop = ending.signal;
  const identity = new Identity(volumes, ids, { gives, stop });
  const { renamed, learn } = renamedPlaces();
  const epochs = keepEpochs(volumes, { memory, takeTurn, noteEpoch, renamed, stop });
  let [checkedMs, comparedMs, returns, isNoteDue] = [0, 0, 0, true];
  async function lookAtEpochs(): Promise<boolean> {
    const isTold = await epochs.compare();
    comparedMs = nowMs();
    return isTold;
  }
  async function check() {
    await using _turn = await takeTurn("ids");
    await ids.refresh();
    const asked = volumes.health.returns; // Who comes back from here on is asked again.
    if (!(await lookAtEpochs()) || volumes.health.returns !== asked) return []; // It is due at once.
    const twins = await identity.check();
    await ids.written();
    const names = ids.names().filter((name) => isConfigured(volumes.topology, name));
    const configured = new Map(names.map((name) => [ids.get(name), name]));
    learn(renamedIn(volumes, ids, configured));
    [checkedMs, returns] = [nowMs(), asked];
    return twins;
  }
  await firstLook(volumes);
  let [twins] = await check();
  for (let more = 0; volumes.health.returns !== returns && more < 3; more++) [twins] = await check(); // Another one has answered.
  if (twins) {
    const [a, b] = twins;
    throw new MkvError("failed", `${a} and ${b} are one and the same place: name each volume once in -volumes`);
  }
  const noted = epochs.note("volumes");
  noted.catch(() => {}); // Its failure is told here, or by the next note.
  await Promise.race([noted, Bun.sleep(limits.firstLookMs)]);
  async function meet() {
    const isDue = volumes.health.returns !== returns || nowMs() >= checkedMs + limits.identityMs;
    if (!isDue && nowMs() < comparedMs + limits.compareMs) return;
    try {
      if (!isDue) return void (await lookAtEpochs());
      for (const names of await check())
        warn(`${names.join(" and ")} are one and the same place: name each volume once in -volumes`);
    } catch (error) {
      await Bun.sleep(limits.probeMs); // It is due at once.
      throw error;
    }
    isNoteDue = true;
  }
  async function note() {
    if (!isNoteDue) return;
    isNoteDue = false;
    await noted.catch(() => {}); // One after the other; and who ends the rounds waits for both.
    await epochs.note();
  }
  return { renamed, rounds: [probing(volumes), meet, note], end: () => ending.abort() };
}

/**
 * Until they have settled, nothing is written to volumes that may still hold a request of a process before this one: those
 * that it left something on; after a crash also those that have no fence.
 * @param renamed places by the names that they had
 */
export function distrust(
  volumes: Volumes,
  { leftOn, hasCrashed }: { readonly leftOn: readonly string[]; readonly hasCrashed: boolean },
  renamed: ReadonlyMap<string, string>,
): void {
  const { topology, health } = volumes;
  for (const volume of new Set(leftOn)) {
    if (isConfigured(topology, volume)) volumes.distrust(volume);
    else {
      // It may be one that has another name by now: who has not answered yet has not said so.
      const now = renamed.get(volume);
      const unknown = topology.volumes.filter((name) => !health.isKnown(name));
      for (const name of now ? [now] : unknown) volumes.distrust(name, { untilFenced: true });
    }
  }
  if (!hasCrashed) return;
  for (const volume of topology.volumes) if (health.isFenced(volume) !== true) volumes.distrust(volume);
}

/** Asks for signs of life every `probeMs`. */
function probing(volumes: Volumes): () => Promise<void> {
  const told = new Set<string>();
  let probedMs = 0;
  return async () => {
    if (nowMs() < probedMs + limits.probeMs) return;
    probedMs = nowMs();
    await volumes.probeAll();
    tellUnfenced(volumes, told);
  };
}

/** Says once of each server that has no fence what that costs. */
function tellUnfenced(volumes: Volumes, told: Set<string>): void {
  for (const server of new Set(volumes.topology.volumes.map(serverOf))) {
    if (volumes.health.isFenced(server) !== false || told.has(server)) continue;
    told.add(server);
    if (volumes.settings.link) warn(`${server} pays no heed to -linkkey: whoever reaches it may read and change all`);
    warn(
      `${server} has no fence (start it with mkv's own volume script): ` +
        "what it still has in hand when this master dies may be carried out late, over a newer value",
    );
  }
}
