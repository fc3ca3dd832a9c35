// Owns who the volumes are as a process looks after them: at its start, when one comes back, and once in a while.
import { bootId } from "../boot";
import { nowMs } from "../clock";
import { MkvError, reasonOf } from "../errors";
import { isConfigured, serverOf } from "../format/volume";
import { type Beside } from "../ledger/level/beside";
import { limits } from "../limits";
import { log } from "../log";
import { type OrphanMemory, orphanPrefix } from "../store/orphan";
import { idPrefix } from "../store/places";
import { Identity, type IdentityMemory } from "../volumes/identity";
import { type Volumes } from "../volumes/volumes";

/** The watch over the volumes of a process. */
export type Watch = {
  /** Asks for signs of life every `probeMs`, and at once who has come back: until then nothing is written there. */
  round(): Promise<void>;
  /** Places by the names that they had, with those that they have now: both carry one id. It follows what is learnt. */
  readonly renamed: ReadonlyMap<string, string>;
  /** Volumes and disks that are not what they were. */
  foreign(): string[];
};

/**
 * Looks at the volumes that answer soon, before anything is written, and goes on looking after them.
 * @throws MkvError failed: two names are one place
 */
export async function watchPlaces(volumes: Volumes, memory: Beside): Promise<Watch> {
  await forgetOldOrphans(memory);
  const ids = await idsIn(memory);
  const identity = new Identity(volumes, ids);
  const renamed = new Map<string, string>();
  const unfenced = new Set<string>();
  let [probedMs, checkedMs, returns] = [0, 0, 0];
  async function check() {
    [checkedMs, returns] = [nowMs(), volumes.returns];
    const twins = await identity.check();
    for (const [name, now] of renamedIn(volumes, ids)) renamed.set(name, now);
    return twins;
  }
  await Promise.race([volumes.probeAll(), Bun.sleep(limits.firstLookMs)]);
  const [twins] = await check();
  if (twins) {
    const [a, b] = twins.names;
    throw new MkvError("failed", `${a} and ${b} are one and the same place: name each volume once in -volumes`);
  }
  return {
    renamed,
    foreign: () => ids.names().filter((name) => volumes.isForeign(name)),
    async round() {
      if (nowMs() >= probedMs + limits.probeMs) {
        probedMs = nowMs();
        await volumes.probeAll();
        tellUnfenced(volumes, unfenced);
      }
      if (volumes.returns === returns && nowMs() < checkedMs + limits.identityMs) return;
      for (const { names } of await check()) log(`mkv: ${names.join(" and ")} are one and the same place`);
    },
  };
}

/** Says once of each server that has no fence what that costs. */
function tellUnfenced(volumes: Volumes, told: Set<string>): void {
  for (const server of new Set(volumes.topology.volumes.map(serverOf))) {
    if (volumes.isFenced(server) !== false || told.has(server)) continue;
    told.add(server);
    if (volumes.settings.link)
      log(`mkv: ${server} pays no heed to -linkkey: whoever reaches it may read and change all`);
    log(
      `mkv: ${server} has no fence (start it with mkv's own volume script): ` +
        "what it still has in hand when this master dies may be carried out late, over a newer value",
    );
  }
}

/** Places by the names that they had, with those that they have now: both carry one id. */
function renamedIn({ topology }: Volumes, ids: IdentityMemory): Map<string, string> {
  const names = ids.names();
  const today = new Map(names.filter((name) => isConfigured(topology, name)).map((name) => [ids.get(name), name]));
  const renamed = new Map<string, string>();
  for (const name of names) {
    const now = today.get(ids.get(name));
    if (!isConfigured(topology, name) && typeof ids.get(name) === "string" && now !== undefined) renamed.set(name, now);
  }
  return renamed;
}

/** What is remembered of ids. What is put is on the disk soon after; what another thread puts is seen. */
async function idsIn(memory: Beside): Promise<IdentityMemory> {
  const names = new Set<string>();
  const pending = new Map<string, string | null>();
  for await (const [name] of memory.entries(idPrefix)) names.add(name.slice(idPrefix.length));
  return {
    get: (name) => pending.get(name) ?? (memory.get(idPrefix + name) as string | null | undefined),
    names: () => [...names],
    async put(name, id) {
      names.add(name);
      pending.set(name, id);
      const written = memory.put(idPrefix + name, id).catch((error) => log(`mkv: ${reasonOf(error)}`)); // Else learnt anew.
      void written.then(() => pending.get(name) === id && pending.delete(name));
    },
  };
}

/** What was remembered of orphans before the machine was restarted: their hour begins anew. */
async function forgetOldOrphans(memory: Beside): Promise<void> {
  const boot = bootId();
  for await (const [name, seen] of memory.entries(orphanPrefix)) {
    if ((seen as OrphanMemory).boot !== boot) await memory.delete(name);
  }
}
