// Owns the putting together of a store out of settings, and the work in the background that keeps it well.
import { writeSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import { isMainThread } from "node:worker_threads";
import { Turns } from "../turns";
import { MkvError, reasonOf } from "../errors";
import { type Index } from "../ledger/index";
import { type Debt, Journal } from "../ledger/level/journal";
import { openLevelIndex } from "../ledger/level/leveldb";
import { limits } from "../limits";
import { log } from "../log";
import { owe, settleAll } from "../store/debts";
import { KeyLocks } from "../ledger/level/locks";
import { type Store } from "../store/store";
import { serverOf } from "../format/volume";
import { Health } from "../volumes/health";
import { Presence } from "../volumes/presence";
import { type VolumeAccess, probe } from "../volumes/volume";
import { type Config } from "./config";

/** What the threads of a process share, and which of them this is; the first is 0. */
export type Thread = { readonly number: number; readonly locks: SharedArrayBuffer; readonly health: SharedArrayBuffer };

/** The first thread of a process. */
export function firstThread(config: Config): Thread {
  return { number: 0, locks: KeyLocks.share(), health: Health.share(config.topology) };
}

/** Access to the volumes as these settings want it. */
export function accessVolumes(config: Config, thread: Thread = firstThread(config)): VolumeAccess {
  return {
    health: new Health(config.topology, thread.health),
    voltimeoutMs: config.voltimeoutMs,
    stalltimeoutMs: config.stalltimeoutMs,
    credentials: config.credentials,
    sync: config.sync,
  };
}

/** Opens the store of these settings for a thread; disposing of it closes its index. Throws MkvError failed. */
export async function openStore(
  config: Config,
  options: { mustExist: boolean; thread?: Thread },
): Promise<Store & AsyncDisposable> {
  const thread = options.thread ?? firstThread(config);
  const index: Index = await openLevelIndex(config.db, { ...options, sync: config.sync, onBroken });
  let journal: Journal;
  try {
    journal = new Journal(config.db, {
      thread: thread.number,
      inherit: thread.number === 0,
      sync: config.sync,
      onBroken,
    });
  } catch (error) {
    await index[Symbol.asyncDispose]();
    throw error;
  }
  const volumes = accessVolumes(config, thread);
  // They may still hold a write that a process before this one had begun: see rule 2 of volumes/health.ts.
  for (const debt of journal.debts) for (const volume of debt.volumes) volumes.health.silent(volume);
  return {
    topology: config.topology,
    index,
    journal,
    locks: new KeyLocks(thread.locks),
    presence: new Presence(),
    volumes,
    lists: new Turns(limits.listsAtOnce),
    minreplicas: config.minreplicas,
    clienttimeoutMs: config.clienttimeoutMs,
    probe: config.probe,
    md5sum: config.md5sum,
    protect: config.protect,
    async [Symbol.asyncDispose]() {
      journal.close();
      await index[Symbol.asyncDispose]();
    },
  };
}

/** Ends the process at once: see rule 2 of ledger/level/leveldb.ts. */
function onBroken(error: MkvError): void {
  const line = `mkv: ${error.message}: stopping, since nothing more could be promised; make room, then start again\n`;
  writeSync(2, line); // A worker has no `process.stderr.fd`, and what it logs goes through the first thread.
  if (!isMainThread) process.kill(process.pid, "SIGKILL"); // `exit` would end this thread alone.
  process.exit(1);
}

/**
 * Looks after the volumes' health and pays debts until it is disposed of. What a crash left is looked for twice: a volume
 * may still have had a write in hand when the first removal came.
 * @param options.probes whether it asks the volumes for signs of life: one thread does so for all
 */
export function maintain(store: Store, options = { probes: true }): AsyncDisposable {
  const stop = new AbortController();
  const servers = [...new Set(store.topology.volumes.map(serverOf))];
  const inherited = [...store.journal.debts];
  const settledMs = performance.now() + limits.patienceMs;
  const secondLookMs = performance.now() + limits.secondLookMs;
  let said = 0;
  async function round(): Promise<void> {
    if (options.probes) await Promise.all(servers.map((server) => probe(store.volumes, server)));
    if (inherited.length > 0 && performance.now() > secondLookMs) {
      for (let debt = inherited.shift(); debt; debt = inherited.shift()) await oweAgain(store, debt);
    }
    const left = await settleAll(store, stop.signal);
    if (performance.now() < settledMs) return;
    if (left > said)
      log(`mkv: what ${left} unfinished writes left on volumes waits: those are down, or refuse -userpass`);
    said = left;
  }
  const running = (async () => {
    while (!stop.signal.aborted) {
      await round().catch((error) => log(`mkv: in the background: ${reasonOf(error)}`));
      await setTimeout(limits.probeMs, undefined, { signal: stop.signal }).catch(() => {}); // Stopped.
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
    },
  };
}

async function oweAgain(store: Store, debt: Debt): Promise<void> {
  try {
    using _lock = store.locks.take(debt.key);
    await owe(store, { ...debt, marks: [] });
  } catch (error) {
    if (!(error instanceof MkvError && error.code === "busy")) throw error; // It is written anew: that overwrites all.
  }
}
